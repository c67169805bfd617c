import type { Writable } from 'node:stream';
import type { Reports } from './cluster.js';
import type { MemberLine } from './member-process.js';

/** The levels of pino from which a line is marked. */
const WARN = 40;
const ERROR = 50;
const FATAL = 60;

/**
 * The contexts of the lines that each start has. The announcement of the cluster says what matters of them.
 */
const CONTEXTS_OF_A_START: ReadonlySet<unknown> = new Set([
  'ParticipantRegistry',
  'Application',
  'PostgreSQL',
]);

/**
 * Where the lines of all members go: for a person the text behind the name of the member, for a program JSON
 * lines with the field `member`.
 */
export class ClusterOutput implements Reports {
  constructor(
    private readonly stream: Pick<Writable, 'write'>,
    private readonly isForPerson: boolean,
  ) {}

  line(member: string, { fields, text }: MemberLine): void {
    if (!this.isForPerson) this.write(JSON.stringify({ ...(fields ?? { msg: text }), member }));
    else if (fields === undefined) this.write(`${member}  ${text}`);
    else if (!isOfAStart(fields)) this.write(`${member}  ${markOf(fields['level'])}${text}`);
  }

  say(text: string): void {
    this.write(this.isForPerson ? `cluster   ${text}` : JSON.stringify({ msg: text, member: 'cluster' }));
  }

  /**
   * The last line of a start that has failed: for a program with the level and the code, as each member
   * writes its own.
   */
  failed(text: string, code: unknown): void {
    if (this.isForPerson) return;
    const said = { level: FATAL, ...(typeof code === 'string' && { code }), msg: text, member: 'cluster' };
    this.write(JSON.stringify(said));
  }

  private write(line: string): void {
    this.stream.write(`${line}\n`);
  }
}

function isOfAStart({ level, context }: Readonly<Record<string, unknown>>): boolean {
  return CONTEXTS_OF_A_START.has(context) && levelOf(level) < WARN;
}

function markOf(level: unknown): string {
  if (levelOf(level) < WARN) return '';
  return levelOf(level) < ERROR ? 'WARNING: ' : 'ERROR: ';
}

function levelOf(level: unknown): number {
  return typeof level === 'number' ? level : 0;
}

import type { Writable } from 'node:stream';
import type { MemberLine } from '../../src/cluster/member-process.js';
import type { FleetReports } from './fleet.js';
import { NAMES } from './plan.js';

/** The levels of pino at which a line is marked. The loggers of Nest write words instead. */
const WARN = 40;
const ERROR = 50;
const LEVELS: Readonly<Record<string, number>> = { warn: WARN, error: ERROR, fatal: ERROR };

/** The contexts of the lines that each start prints. The announcement contains the important part of them. */
const CONTEXTS_OF_A_START: ReadonlySet<unknown> = new Set([
  'Application',
  'InstanceLoader',
  'NestApplication',
  'NestFactory',
  'ParticipantHost',
  'ParticipantRegistry',
  'PostgreSQL',
  'RouterExplorer',
  'RoutesResolver',
]);

const OWN_NAME = 'services';
const WIDTH = Math.max(...NAMES.map(({ length }) => length)) + 2;

/**
 * Prints the lines of all processes: for a person the text after the name of the process, for a program JSON
 * lines with the field `process`.
 */
export class FleetOutput implements FleetReports {
  constructor(
    private readonly stream: Pick<Writable, 'write'>,
    private readonly isForPerson: boolean,
  ) {}

  line(name: string, { fields, text }: MemberLine): void {
    if (!this.isForPerson) {
      this.write(JSON.stringify({ ...(fields ?? { msg: text }), process: name }));
      return;
    }
    const level = levelOf(fields?.['level']);
    if (level < WARN && CONTEXTS_OF_A_START.has(fields?.['context'])) return;
    this.write(`${name.padEnd(WIDTH)}${level < WARN ? '' : level < ERROR ? 'WARNING: ' : 'ERROR: '}${text}`);
  }

  say(text: string): void {
    this.write(
      this.isForPerson
        ? `${OWN_NAME.padEnd(WIDTH)}${text}`
        : JSON.stringify({ msg: text, process: OWN_NAME }),
    );
  }

  private write(line: string): void {
    this.stream.write(`${line}\n`);
  }
}

function levelOf(level: unknown): number {
  return typeof level === 'number' ? level : (LEVELS[String(level)] ?? 0);
}

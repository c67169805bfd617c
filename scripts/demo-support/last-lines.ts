import type { MemberLine } from '../../src/cluster/member-process.js';

/** How many lines are kept. */
const KEPT = 30;
/** The level of a warning, as pino writes it. */
const WARN = 40;

/** The last warnings and errors of the processes of a demo. They are shown only when it fails. */
export class LastLines {
  readonly texts: string[] = [];

  /** @param name of the process. */
  hear(name: string, { fields, text }: MemberLine): void {
    if (fields !== undefined && isNews(fields['level'])) return;
    this.texts.push(`${name}: ${text}`);
    if (this.texts.length > KEPT) this.texts.shift();
  }
}

/** pino writes the level as a number, and the logger of Nest as a word. */
function isNews(level: unknown): boolean {
  return typeof level === 'number' ? level < WARN : level === 'log' || level === 'debug';
}

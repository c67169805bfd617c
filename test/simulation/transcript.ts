/**
 * What happened in a world, line by line, in the form of the golden transcripts. It is written only when a
 * caller asks for it, because it costs more than the world itself; and writing it changes nothing in the
 * world.
 */
export class Transcript {
  private readonly lines: string[] = [];

  constructor(
    readonly isOn: boolean,
    private readonly now: () => number,
  ) {}

  /** Ask for {@link isOn} first where the words cost something. */
  say(who: string, what: string): void {
    if (this.isOn) this.lines.push(`${this.now().toFixed(1).padStart(9)} ms  ${who.padEnd(12)}  ${what}`);
  }

  toString(): string {
    return this.lines.map((line) => `${line}\n`).join('');
  }
}

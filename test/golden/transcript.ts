/**
 * A transcript is a text file: what is put in, and what then happens.
 *
 * - `# ...` is a remark.
 * - `word: ...` before the first input sets the stage: `participants`, `options`, `log`.
 * - `> ...` is one input. The grammar is in inputs.ts.
 * - The indented lines below an input are what it brought about. They are made by the replay.
 */
export interface Transcript {
  /** The settings of the stage, by their words. */
  readonly settings: ReadonlyMap<string, string>;
  /** Every line of an author, in order; the replay's own lines are left out. */
  readonly script: readonly string[];
}

/** One thing that happened. */
export interface Happening {
  readonly atMs: number;
  readonly who: string;
  readonly what: string;
}

const INPUT = '> ';
const SETTING = /^([a-z]+): (.*)$/;

export function parseTranscript(text: string): Transcript {
  const script = text
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith(' '));
  const settings = new Map<string, string>();
  for (const line of script) {
    const setting = SETTING.exec(line);
    if (setting !== null) settings.set(setting[1]!, setting[2]!);
    else if (line !== '' && !line.startsWith('#') && !line.startsWith(INPUT)) {
      throw new Error(`"${line}" is no remark, no setting, no input, and not indented.`);
    }
  }
  return { settings, script };
}

/**
 * Plays every input in turn.
 *
 * @param play carries one input out, and returns what happened until nothing more did.
 * @returns the whole text as it should read.
 */
export async function replay(
  { script }: Transcript,
  play: (input: string) => Promise<readonly Happening[]>,
): Promise<string> {
  const lines: string[] = [];
  for (const line of script) {
    lines.push(line);
    if (!line.startsWith(INPUT)) continue;
    for (const { atMs, who, what } of await play(line.slice(INPUT.length))) {
      lines.push(`${String(atMs).padStart(8)} ms  ${who.padEnd(11)}  ${what}`);
    }
  }
  return `${lines.join('\n')}\n`;
}

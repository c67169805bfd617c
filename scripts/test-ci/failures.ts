import { stripVTControlCharacters } from 'node:util';

/** Vitest tells everything that failed below the first of these, after all other output. */
const HEADING_OF_VITEST = /^⎯+ (?:Failed (?:Suites|Tests)|Unhandled Errors?) /u;
/** A test or a file that failed, in the output of vitest. */
const FAILED = /^\s*FAIL\s/;
const MAX_LINES = 120;
/** A line that says what failed says so at its beginning. */
const MAX_CHARACTERS = 300;

/**
 * The lines of a failed rung that say what failed: what vitest tells of failures, and else the last lines.
 *
 * @param output of the rung, or the end of it.
 * @returns at most 120 lines of it. When vitest tells more, the names of the other tests that failed follow,
 * at most as many again.
 */
export function failureLines(output: string): string[] {
  const lines = stripVTControlCharacters(output).trimEnd().split(/\r?\n/);
  const heading = lines.findIndex((line) => HEADING_OF_VITEST.test(line));
  if (heading === -1) return lines.slice(-MAX_LINES).map(cut);
  const told = lines.slice(heading);
  const others = told.slice(MAX_LINES).filter((line) => FAILED.test(line));
  return [...told.slice(0, MAX_LINES), ...others.slice(0, MAX_LINES)].map(cut);
}

function cut(line: string): string {
  return line.length <= MAX_CHARACTERS ? line : `${line.slice(0, MAX_CHARACTERS)} …`;
}

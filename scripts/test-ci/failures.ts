import { stripVTControlCharacters } from 'node:util';

/** Vitest tells everything that failed below the first of these, after all other output. */
const HEADING_OF_VITEST = /^⎯+ (?:Failed (?:Suites|Tests)|Unhandled Errors?) /u;
/** A test or a file that failed, in the output of vitest. */
const FAILED = /^\s*FAIL\s+(.*)/;
/** Continuous integration shows only some of the last lines. */
const MAX_LINES = 60;
const MAX_NAMES = 20;
/** A line that says what failed says so at its beginning. */
const MAX_CHARACTERS = 200;

/** What failed in a rung. */
export interface Failure {
  /** The names of the tests that failed, at most 20; none when the rung is no run of vitest. */
  readonly names: readonly string[];
  /** What vitest tells of failures, or else the last lines of the rung: at most 60 lines. */
  readonly lines: readonly string[];
}

/** @param output of a rung that failed, or the end of it. */
export function failureIn(output: string): Failure {
  const lines = stripVTControlCharacters(output).trimEnd().split(/\r?\n/);
  const heading = lines.findIndex((line) => HEADING_OF_VITEST.test(line));
  if (heading === -1) return { names: [], lines: lines.slice(-MAX_LINES).map(cut) };
  const told = lines.slice(heading);
  const names = told.flatMap((line) => FAILED.exec(line)?.[1] ?? []);
  return {
    names: Array.from(new Set(names)).slice(0, MAX_NAMES).map(cut),
    lines: told.slice(0, MAX_LINES).map(cut),
  };
}

function cut(line: string): string {
  return line.length <= MAX_CHARACTERS ? line : `${line.slice(0, MAX_CHARACTERS)} …`;
}

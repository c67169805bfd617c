import { describe, expect, it } from 'vitest';
import { credentialsSchema } from './credentials.js';

const TOKEN = '0123456789abcdef';

/** @returns the problems of a text, each with its place. */
function problemsOf(text: string): string[] {
  return credentialsSchema.safeParse(text).error?.issues.map(({ message }) => message) ?? [];
}

describe('Credentials', () => {
  it('are pairs separated by commas', () => {
    expect(credentialsSchema.parse(`alice:${TOKEN}, b.o-b_1:!~:${TOKEN}`)).toEqual([
      { name: 'alice', token: TOKEN },
      { name: 'b.o-b_1', token: `!~:${TOKEN}` },
    ]);
  });

  it('are pairs on lines, between comments and blank lines', () => {
    expect(
      credentialsSchema.parse(`# ours, and theirs\n\nalice:${TOKEN}\r\n  # bob:x\nbob:${TOKEN}2\n`),
    ).toEqual([
      { name: 'alice', token: TOKEN },
      { name: 'bob', token: `${TOKEN}2` },
    ]);
  });

  it.each(['', '\n', '# none'])('are refused when there are none (%j)', (text) => {
    expect(problemsOf(text)).toEqual(['must have at least one pair of name:token']);
  });

  it.each([
    ['no colon', `alice${TOKEN}`, /name/],
    ['no name', `:${TOKEN}`, /name/],
    ['a name that is too long', `${'a'.repeat(65)}:${TOKEN}`, /name/],
    ['a name with a space', `al ice:${TOKEN}`, /name/],
    ['no token', 'alice:', /token/],
    ['a token that is too short', 'alice:0123456789abcde', /token/],
    ['a token that is too long', `alice:${'0'.repeat(513)}`, /token/],
    ['a token with a space', `alice:${TOKEN} x`, /token/],
    ['a token that is not ASCII', `alice:${TOKEN}é`, /token/],
    ['an empty pair', `bob:${TOKEN},`, /name/],
    ['a name twice', `alice:${TOKEN},alice:${TOKEN}2`, /name that was already given/],
    ['a token twice', `alice:${TOKEN},bob:${TOKEN}`, /token that was already given/],
  ])('are refused with %s, with the number of the line but not its content', (_, pairs, reason) => {
    const problems = problemsOf(`# a comment\n${pairs}`);

    expect(problems).toEqual([expect.stringMatching(reason)]);
    expect(problems[0]).toMatch(/^line 2 /);
    expect(problems[0]).not.toMatch(/alice|bob|0123|aaa|é/);
  });

  it('accept a name of 64 characters, and name every line at fault', () => {
    expect(problemsOf(`${'a'.repeat(64)}:${TOKEN}`)).toEqual([]);
    expect(problemsOf('a\nb\nc')).toHaveLength(3);
  });
});

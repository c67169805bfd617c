import { describe, expect, it } from 'vitest';
import { credentialsSchema, tokensSchema } from './credentials.js';

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

describe('Tokens without names', () => {
  it('are separated by commas or lines, between comments', () => {
    expect(tokensSchema.parse(`# the new one first\n${TOKEN}1, ${TOKEN}2\r\n\n${TOKEN}3\n`)).toEqual([
      `${TOKEN}1`,
      `${TOKEN}2`,
      `${TOKEN}3`,
    ]);
  });

  it.each([
    ['', 'must have at least one token'],
    ['short', 'line 1 must have a token of 16 to 512 characters of visible ASCII without comma'],
    [`${TOKEN}\n${TOKEN}`, 'line 2 has a token that was already given'],
    [Array.from({ length: 17 }, (_, index) => `${TOKEN}${index}`).join(), 'must have at most 16 tokens'],
  ])('are refused with the place of the problem (%j)', (text, problem) => {
    expect(tokensSchema.safeParse(text).error?.issues.map(({ message }) => message)).toEqual([problem]);
  });
});

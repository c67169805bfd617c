import { describe, expect, it } from 'vitest';
import { OperationsModule } from '../operations.module.js';
import { MemberTokens } from './member-tokens.js';

const [NEW, OLD] = ['the-new-token-of-members', 'the-old-token-of-members'];
const OPERATOR = { name: 'alice', token: 'the-token-of-alice' };

function problemsOf(members: unknown): string {
  try {
    OperationsModule.forRoot({ operators: [OPERATOR], members: members as never });
    return '';
  } catch (error) {
    return (error as Error).message;
  }
}

describe('The tokens of members', () => {
  it('are all accepted, and the first is sent', () => {
    const tokens = new MemberTokens({ tokens: [NEW, OLD] });

    expect(tokens.sent).toBe(NEW);
    expect(() => tokens.admit(`Bearer ${NEW}`)).not.toThrow();
    expect(() => tokens.admit(`bearer ${OLD}`)).not.toThrow();
  });

  it.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    `Basic ${NEW}`,
    NEW,
    `Bearer ${NEW}x`,
    `Bearer ${NEW} ${OLD}`,
  ])('are refused in another form: %j', (authorization) => {
    for (const tokens of [new MemberTokens({ tokens: [NEW, OLD] }), new MemberTokens(undefined)])
      expect(() => tokens.admit(authorization)).toThrow(/Only the other members/);
  });

  it.each([
    ['tokens', {}, 'members.tokens: must be a list of 1 to 16 tokens'],
    ['a list', { tokens: NEW }, 'members.tokens: must be a list'],
    ['a token', { tokens: [] }, 'members.tokens: must be a list of 1 to 16 tokens'],
    [
      'few tokens',
      { tokens: Array.from({ length: 17 }, (_, index) => `${NEW}${index}`) },
      'must be a list of 1 to 16',
    ],
    ['length', { tokens: [NEW, 'short'] }, 'members.tokens[1]: must be 16 to 512 characters'],
    ['visible characters', { tokens: [`${NEW} ${OLD}`] }, 'members.tokens[0]: must be 16 to 512 characters'],
    ['different tokens', { tokens: [NEW, NEW] }, 'members.tokens[1]: was already given'],
    ['tokens of their own', { tokens: [OPERATOR.token] }, 'is the token of a reader or an operator as well'],
    ['known options', { tokens: [NEW], token: NEW }, 'members.token: is not an option'],
    ['a time', { tokens: [NEW], timeoutMs: 0 }, 'members.timeoutMs: must be a whole number'],
    ['an object', 'yes', 'members: must be an object'],
  ])('need %s, and are not quoted otherwise', (_, members, problem) => {
    const text = problemsOf(members);
    expect(text).toContain(problem);
    for (const secret of [NEW, OLD, OPERATOR.token, 'short']) expect(text).not.toContain(secret);
  });

  it('are right as they are documented', () => {
    expect(problemsOf({ tokens: [NEW, OLD], timeoutMs: 500 })).toBe('');
    expect(problemsOf(undefined)).toBe('');
  });
});

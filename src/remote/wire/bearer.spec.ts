import { describe, expect, it } from 'vitest';
import { type Credentials, TokenCheck } from './bearer.js';

const [FIRST, SECOND, THIRD] = ['the-first-of-the-tokens', 'the-second-of-the-tokens', 'a'.repeat(512)];

describe('The check of a token', () => {
  it.each<[string, Credentials]>([
    ['one token', FIRST],
    ['a list', [FIRST, SECOND, THIRD]],
    ['a function', () => [SECOND, FIRST]],
  ])('admits what %s has, and nothing else', (_name, credentials) => {
    const check = new TokenCheck(credentials);
    for (let request = 0; request < 2; request++) {
      expect(check.admits(`Bearer ${FIRST}`)).toBe(true);
      expect(check.admits(`bearer  ${FIRST}`)).toBe(true);
      expect(check.admits(`Bearer ${SECOND}`)).toBe(credentials !== FIRST);
      expect(check.admits(`Bearer ${THIRD}`)).toBe(Array.isArray(credentials));
      for (const wrong of [FIRST.slice(0, -1), `${FIRST}x`, 'x', `${THIRD}a`, `${FIRST} x`, ''])
        expect(check.admits(`Bearer ${wrong}`)).toBe(false);
      for (const none of [undefined, FIRST, `Basic ${FIRST}`, [`Bearer ${FIRST}`]])
        expect(check.admits(none)).toBe(false);
    }
  });

  it('follows tokens that change, also in the same list', () => {
    const tokens = [FIRST];
    const check = new TokenCheck(() => tokens);
    const admitted = (): boolean[] => [FIRST, SECOND].map((token) => check.admits(`Bearer ${token}`));
    expect(admitted()).toEqual([true, false]);
    tokens.push(SECOND);
    expect(admitted()).toEqual([true, true]);
    tokens.shift();
    expect(admitted()).toEqual([false, true]);
    tokens[0] = FIRST;
    expect(admitted()).toEqual([true, false]);
  });

  it('admits no one while there are no tokens, or what is none', () => {
    let present: unknown = FIRST;
    const check = new TokenCheck(() => present as string);
    for (const wrong of [[], 'short', [FIRST, 'short'], undefined, ['']]) {
      present = wrong;
      expect(() => check.admits(`Bearer ${FIRST}`)).toThrow('credentials: must be one or several tokens');
      present = [FIRST];
      expect(check.admits(`Bearer ${FIRST}`)).toBe(true);
    }
  });
});

import { Logger } from '@nestjs/common';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Credential } from '../../operations/access/access.js';
import { ServerAccess } from './server-access.js';

const CALLER = { name: 'shop', token: 'the-token-of-the-shop' };
const OPERATOR = { name: 'alice', token: 'the-token-of-alice' };

describe('The tokens of roles that are rotated', () => {
  afterEach(() => vi.restoreAllMocks());

  it('never make one token that of two roles, and the problem is logged once', () => {
    const warn = vi.spyOn(Logger.prototype, 'warn').mockReturnValue();
    let operators: readonly Credential[] = [OPERATOR];
    const access = new ServerAccess({ callers: [CALLER], operators: () => operators });
    const roleOf = (token: string): string => access.admit(`Bearer ${token}`, ['caller', 'operator']).role;

    operators = [{ name: 'mallory', token: CALLER.token }];
    for (let request = 0; request < 3; request++) {
      expect([roleOf(CALLER.token), roleOf(OPERATOR.token)]).toEqual(['caller', 'operator']);
    }
    expect(warn).toHaveBeenCalledTimes(1);
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('two credentials have the same token'));

    // A list that can be used takes effect, and the same problem is told again when it comes back.
    operators = [{ name: 'bob', token: 'the-token-of-bob-here' }];
    expect(roleOf('the-token-of-bob-here')).toBe('operator');
    expect(() => roleOf(OPERATOR.token)).toThrow('not known');
    operators = [CALLER];
    expect(roleOf(CALLER.token)).toBe('caller');
    expect(warn).toHaveBeenCalledTimes(2);
  });
});

import { describe, expect, it } from 'vitest';
import { resolveCoordinatorOptions } from '../coordinator.options.js';
import { resolveParticipantOptions } from './participant.options.js';

const coordinator = resolveCoordinatorOptions({
  prepareTimeoutMs: 11,
  completionTimeoutMs: 12,
  maxAttempts: 13,
  retryBaseMs: 14,
  retryCapMs: 15,
});

describe('the options of a participant', () => {
  it('default to those of the coordinator', () => {
    expect(resolveParticipantOptions({ name: 'p' }, 'P', coordinator)).toEqual({
      name: 'p',
      prepareTimeoutMs: 11,
      completionTimeoutMs: 12,
      maxAttempts: 13,
      retryBaseMs: 14,
      retryCapMs: 15,
      ambient: false,
      lastResource: false,
    });
  });

  it('override those of the coordinator', () => {
    const own = {
      name: 'p',
      prepareTimeoutMs: 1,
      completionTimeoutMs: 2,
      maxAttempts: 3,
      retryBaseMs: 4,
      retryCapMs: 5,
      ambient: true,
      lastResource: false,
    };
    expect(resolveParticipantOptions(own, 'P', coordinator)).toEqual(own);
  });

  it('are frozen', () => {
    const resolved = resolveParticipantOptions({ name: 'p' }, 'P', coordinator);
    expect(() => Object.assign(resolved, { maxAttempts: 99 })).toThrow(TypeError);
  });

  for (const name of ['p', 'a-b-c', 'p2', 'x'.repeat(32)]) {
    it(`take the name ${name}`, () => {
      expect(resolveParticipantOptions({ name }, 'P', coordinator).name).toBe(name);
    });
  }

  for (const name of ['', 'P', '2p', '-p', 'p.q', 'p q', 'ü', 'x'.repeat(33)]) {
    it(`refuse the name ${JSON.stringify(name)}, which does not fit an id or a metric`, () => {
      expect(() => resolveParticipantOptions({ name }, 'P', coordinator)).toThrow(
        'The options of @Participant on P cannot be used: name: must be 1 to 32 characters of a-z, 0-9 and -',
      );
    });
  }
});

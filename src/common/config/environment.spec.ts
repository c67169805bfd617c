import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EnvironmentError, optionsFromEnvironment } from './environment.js';

const schema = z.strictObject({
  name: z.string().min(2).default('nobody'),
  timeoutMs: z.number().int().min(1).default(5),
  maxInFlight: z.number().int().optional(),
});

function read(environment: NodeJS.ProcessEnv): unknown {
  return optionsFromEnvironment(schema, 'DTC_', environment);
}

describe('Options from the environment', () => {
  it('are read from the variable that bears their name in capitals', () => {
    expect(read({ DTC_TIMEOUT_MS: '20', DTC_MAX_IN_FLIGHT: '3', DTC_NAME: '12', PATH: '/bin' })).toEqual({
      name: '12',
      timeoutMs: 20,
      maxInFlight: 3,
    });
  });

  it('have their defaults where no variable is set', () => {
    expect(read({})).toEqual({ name: 'nobody', timeoutMs: 5 });
  });

  it.each(['', ' ', 'soon', '5s', '1e3', '0x10', '0', '1.5', 'Infinity'])(
    'are refused when a number is %j',
    (value) => {
      expect(() => read({ DTC_TIMEOUT_MS: value })).toThrow(/DTC_TIMEOUT_MS: /);
    },
  );

  it('are refused with a name that is not known, and every problem is named in one line', () => {
    const attempt = (): unknown => read({ DTC_TIMEOUT: '5', DTC_NAME: 'x', DTC_TIMEOUT_MS: 'soon' });

    expect(attempt).toThrow(EnvironmentError);
    expect(attempt).toThrow(/^[^\n]*DTC_TIMEOUT is not known[^\n]*$/);
    expect(attempt).toThrow(/DTC_NAME: .*DTC_TIMEOUT_MS: /);
  });
});

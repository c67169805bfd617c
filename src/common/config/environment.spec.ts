import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { EnvironmentError } from './environment.error.js';
import { optionsFromEnvironment } from './environment.js';

const schema = z.strictObject({
  name: z.string().min(2).default('nobody'),
  timeoutMs: z.number().int().min(1).default(5),
  maxInFlight: z.number().int().optional(),
  key: z.string().regex(/^k/, 'must begin with k').optional().meta({ secret: true }),
});

function read(environment: NodeJS.ProcessEnv): unknown {
  return optionsFromEnvironment(schema, 'DTC_', environment);
}

describe('Options from the environment', () => {
  it('are read from the variable with their name in capitals', () => {
    expect(read({ DTC_TIMEOUT_MS: '20', DTC_MAX_IN_FLIGHT: '3', DTC_NAME: '12', PATH: '/bin' })).toEqual({
      name: '12',
      timeoutMs: 20,
      maxInFlight: 3,
    });
  });

  it('have their defaults without a variable', () => {
    expect(read({})).toEqual({ name: 'nobody', timeoutMs: 5 });
  });

  it.each(['', ' ', 'soon', '5s', '1e3', '0x10', '0', '1.5', 'Infinity'])(
    'are refused when a number is %j',
    (value) => {
      expect(() => read({ DTC_TIMEOUT_MS: value })).toThrow(/DTC_TIMEOUT_MS: /);
    },
  );

  it('are refused with an unknown name, and every problem is reported in one line', () => {
    const attempt = (): unknown => read({ DTC_TIMEOUT: '5', DTC_NAME: 'x', DTC_TIMEOUT_MS: 'soon' });

    expect(attempt).toThrow(EnvironmentError);
    expect(attempt).toThrow(/^[^\n]*DTC_TIMEOUT is not known \(did you mean DTC_TIMEOUT_MS\?\)[^\n]*$/);
    expect(attempt).toThrow(/DTC_NAME: .*DTC_TIMEOUT_MS: /);
  });

  it('are suggested only when the name is near', () => {
    expect(() => read({ DTC_COLOUR: 'blue' })).toThrow(/: DTC_COLOUR is not known\.$/);
    expect(() => read({ DTC_NMAE: 'x' })).toThrow(/\(did you mean DTC_NAME\?\)/);
    expect(() => read({ DTC_KEY_FILES: 'x' })).toThrow(/\(did you mean DTC_KEY_FILE\?\)/);
    expect(() => read({ DTC_COLOUR_FILE: 'x' })).toThrow(/: DTC_COLOUR_FILE is not known\.$/);
  });

  it('are refused with the name of the file, if the problem is in the file, and never with its content', () => {
    const folder = mkdtempSync(join(tmpdir(), 'environment-'));
    const path = join(folder, 'key');
    const attempt = (): unknown => read({ DTC_KEY_FILE: path });
    try {
      writeFileSync(path, 'kept secret\n');
      expect(attempt()).toMatchObject({ key: 'kept secret' });

      writeFileSync(path, 'a secret');
      expect(attempt).toThrow(/: DTC_KEY_FILE: must begin with k\.$/);
      expect(() => read({ DTC_KEY: 'k', DTC_KEY_FILE: path })).toThrow(
        /: DTC_KEY and DTC_KEY_FILE: set one of them, not both\.$/,
      );

      writeFileSync(path, ' \n\n');
      expect(attempt).toThrow(/: DTC_KEY_FILE: the file that it names is empty\.$/);

      writeFileSync(path, 'k'.repeat(65_537));
      expect(attempt).toThrow(/: DTC_KEY_FILE: must name a file of at most 64 KiB\.$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect(attempt).toThrow(/: DTC_KEY_FILE: the file that it names cannot be read \(ENOENT\)\.$/);
    expect(() => read({ DTC_KEY_FILE: '/dev/zero' })).toThrow(
      /: DTC_KEY_FILE: must name a file of at most 64 KiB\.$/,
    );
    // A user who confuses the two variables has put the secret in place of a path.
    expect(() => read({ DTC_KEY_FILE: 'k-secret\0' })).toThrow(/^(?!.*k-secret).*DTC_KEY_FILE: /);
  });
});

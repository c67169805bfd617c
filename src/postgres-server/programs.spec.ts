import { describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { outputOfStart, packageFor } from './programs.js';

describe('the programs of PostgreSQL', () => {
  it.each([
    ['linux', 'x64'],
    ['linux', 'arm64'],
    ['darwin', 'x64'],
    ['darwin', 'arm64'],
    ['win32', 'x64'],
  ] as const)('come on %s, %s from a package whose script may run', (platform, architecture) => {
    expect(packageJson.allowScripts).toHaveProperty([packageFor(platform, architecture)], true);
  });

  it('start a server on Windows without a pipe, which the server would keep open', () => {
    expect(outputOfStart('win32')).toBe('ignore');
    expect(outputOfStart('linux')).toBe('pipe');
  });
});

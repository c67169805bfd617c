import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { outputOfStart, packageFor, runNow } from './programs.js';

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

  it.skipIf(process.platform === 'win32').each([
    ['INT', 3, 'true', true],
    ['INT', 3, 'false', false],
    ['INT', 20, 'true', false],
    ['HUP', 3, 'true', true],
    ['TERM', 3, 'true', true],
  ])('are run again when SIG%s has ended them %i times: then %s', (signal, times, last, isDone) => {
    const folder = mkdtempSync(join(tmpdir(), 'programs-'));
    const script = `echo >> ${folder}/runs; [ $(wc -l < ${folder}/runs) -gt ${times} ] || kill -${signal} $$; ${last}`;
    expect(runNow('/bin/sh', ['-c', script], {})).toBe(isDone);
    rmSync(folder, { recursive: true });
  });
});

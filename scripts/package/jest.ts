/**
 * Runs the tests of the CommonJS sample with Jest, against the library as it is packed. It needs the registry, or an npm cache
 * that has Jest.
 *
 *     node scripts/package/jest.ts
 */
import { spawnSync } from 'node:child_process';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const REPOSITORY = join(import.meta.dirname, '../..');
const folder = await mkdtemp(join(tmpdir(), 'jest-'));
try {
  run(join(REPOSITORY, 'packages/nestjs-dtc'), 'npm', 'pack', '--pack-destination', folder);
  const [tarball] = await readdir(folder);
  const sample = join(folder, 'commonjs');
  await cp(join(REPOSITORY, 'samples/commonjs'), sample, {
    recursive: true,
    filter: (source) => !/[/\\](?:node_modules|dist)$/.test(source),
  });
  run(sample, 'npm', 'install', '--prefer-offline', '--no-audit', '--no-fund', join(folder, tarball!));
  run(sample, process.execPath, '--experimental-vm-modules', 'node_modules/jest/bin/jest.js', '--ci');
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Runs a command to its end. @throws Error when it fails. */
function run(cwd: string, command: string, ...args: readonly string[]): void {
  // On Windows npm is a script of the shell.
  const shell = command === 'npm' && process.platform === 'win32';
  const { status, error } = spawnSync(command, args, { cwd, stdio: 'inherit', shell });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: exit code ${String(status)}`);
}

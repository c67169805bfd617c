/**
 * Tests the sample with Prisma. It installs Prisma into a folder of its own, which needs the registry or an npm cache that has it.
 * No engine of Prisma is downloaded: the client does not need one.
 *
 *     node scripts/package/prisma.ts
 */
import { spawnSync } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';

const REPOSITORY = join(import.meta.dirname, '../..');
// As deep as the sample is, so that its imports of the sources fit.
const FOLDER = join(REPOSITORY, 'build/prisma');
const TOOLS = join(REPOSITORY, 'node_modules');

await rm(FOLDER, { recursive: true, force: true });
await cp(join(REPOSITORY, 'samples/prisma'), FOLDER, { recursive: true });
run(FOLDER, 'npm', 'ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund');
run(FOLDER, process.execPath, 'node_modules/prisma/build/index.js', 'generate');
run(FOLDER, process.execPath, join(TOOLS, 'typescript/bin/tsc'), '-p', '.');
run(
  REPOSITORY,
  process.execPath,
  join(TOOLS, 'vitest/vitest.mjs'),
  'run',
  '--config',
  'build/prisma/vitest.config.ts',
);

/** Runs a command to its end. @throws Error when it fails. */
function run(cwd: string, command: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, {
    cwd,
    stdio: 'inherit',
    // On Windows npm is a script of the shell.
    shell: command === 'npm' && process.platform === 'win32',
    // Prisma takes this file for the engine of its migrations, and downloads none.
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath },
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: exit code ${String(status)}`);
}

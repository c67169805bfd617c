/**
 * Builds the library into packages/nestjs-dtc: its code from src, the dashboard, and the texts that the
 * package carries. `npm pack` and `npm publish` run it first.
 */
import { spawnSync } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { copyTexts } from './texts.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
const PACKAGE = join(REPOSITORY, 'packages/nestjs-dtc');
const DIST = join(PACKAGE, 'dist');

await rm(DIST, { recursive: true, force: true });
build('typescript/bin/tsc', '-p', PACKAGE);
const proto = 'microservices/participant-host.proto';
await cp(join(REPOSITORY, 'src', proto), join(DIST, proto));
build('vite/bin/vite.js', 'build', 'dashboard', '--outDir', join(DIST, 'dashboard'), '--logLevel', 'warn');
await copyTexts(REPOSITORY, PACKAGE);

/** Runs a tool of the repository, and ends this process if the tool fails. */
function build(tool: string, ...args: string[]): void {
  const path = join(REPOSITORY, 'node_modules', tool);
  const { status, error } = spawnSync(process.execPath, [path, ...args], {
    cwd: REPOSITORY,
    stdio: 'inherit',
  });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

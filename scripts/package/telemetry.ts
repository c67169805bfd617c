/**
 * Builds the sample with OpenTelemetry in `build/telemetry`, where its own packages are installed: that needs the registry, or an
 * npm cache that has them.
 *
 *     node scripts/package/telemetry.ts
 */
import { spawnSync } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';

const REPOSITORY = join(import.meta.dirname, '../..');
// As deep as the sample is, so that its imports of the sources fit.
const FOLDER = join(REPOSITORY, 'build/telemetry');

await rm(FOLDER, { recursive: true, force: true });
await cp(join(REPOSITORY, 'samples/telemetry'), FOLDER, { recursive: true });
run('npm', 'ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund');
run(process.execPath, join(REPOSITORY, 'node_modules/typescript/bin/tsc'), '-p', '.');

/** Runs a command to its end. @throws Error when it fails. */
function run(command: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, {
    cwd: FOLDER,
    stdio: 'inherit',
    // On Windows npm is a script of the shell.
    shell: command === 'npm' && process.platform === 'win32',
  });
  if (error !== undefined) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: exit code ${String(status)}`);
}

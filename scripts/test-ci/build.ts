/**
 * Compiles what several rungs run, once for all of them: a rung that compiled would change the files of one
 * that runs beside it. `npm run lint` checks the types.
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const TSC = 'node_modules/typescript/bin/tsc';

run(TSC, '-p', 'scripts/test-ci');
// The application that is killed has a folder of its own.
run(TSC, '-p', 'test/crash');
run('scripts/services/run.ts', 'build');

function run(...args: readonly string[]): void {
  const { status, error } = spawnSync(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

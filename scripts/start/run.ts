import { fileURLToPath } from 'node:url';
import { buildIfChanged } from './build-if-changed.ts';
import { endWithParent } from './end-with-parent.ts';

/**
 * Builds the application if its sources have changed, and starts it in this process:
 *
 *     node scripts/start/run.ts main | main-postgres | main-cluster | main-log-check
 */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const [program = 'main'] = process.argv.slice(2);
endWithParent(process);
if (await buildIfChanged(ROOT, process.env))
  await import(new URL(`../../dist/${program}.js`, import.meta.url).href);
else process.exitCode = 1;

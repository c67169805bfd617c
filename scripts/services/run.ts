import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildIfChanged } from '../start/build-if-changed.ts';
import { endWithParent } from '../start/end-with-parent.ts';

/**
 * Compiles samples/services and the programs that start them, and runs one of these in this process:
 *
 *     node scripts/services/run.ts start | demo [--short] | build
 *
 * The services import the library as a package. `build/node_modules` has it, as `npm install` would have put it there.
 */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const LIBRARY = join(ROOT, 'build/node_modules/nestjs-dtc');

const [program] = process.argv.splice(2, 1);
endWithParent(process);
// The coordinators of the start have a dashboard, which is a part of the application.
if (program === 'start' && !(await buildIfChanged(ROOT, process.env))) process.exit(1);
compile();
linkLibrary();
// The image of the services is built without a start.
if (program !== 'build')
  await import(new URL(`../../build/scripts/services/${program}.js`, import.meta.url).href);

/** `npm run lint` checks the types. */
function compile(): void {
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'scripts/services', '--noCheck'], {
    cwd: ROOT,
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(1);
}

function linkLibrary(): void {
  mkdirSync(LIBRARY, { recursive: true });
  copyFileSync(join(ROOT, 'packages/nestjs-dtc/package.json'), join(LIBRARY, 'package.json'));
  const dist = join(LIBRARY, 'dist');
  if (!existsSync(dist)) symlinkSync(join(ROOT, 'build/src'), dist, 'junction');
}

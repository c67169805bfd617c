import { fileURLToPath } from 'node:url';
import { pinIn, unpinnedIn } from './pinned-files.ts';

/**
 * Pins the images of others that the Dockerfiles, the compose files and the manifests name, by their digests:
 *
 *     node scripts/release/images.ts --check | --pin
 *
 * `--check` ends with code 1 when one has no digest. `--pin` asks the registry for each, and writes them; a tag whose image has
 * changed gets the new one.
 */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

const [mode, ...more] = process.argv.slice(2);
if ((mode !== '--check' && mode !== '--pin') || more.length > 0) {
  process.stderr.write('Say what to do: --check or --pin.\n');
  process.exit(2);
}
if (mode === '--pin') await pin();
else check();

function check(): void {
  const open = unpinnedIn(ROOT);
  for (const line of open) process.stdout.write(`${line}\n`);
  if (open.length === 0) return;
  process.stdout.write('Run "npm run images -- --pin", where the registry can be reached.\n');
  process.exitCode = 1;
}

async function pin(): Promise<void> {
  try {
    for (const [name, digest] of await pinIn(ROOT)) process.stdout.write(`${name}@${digest}\n`);
  } catch (error) {
    process.stderr.write(`No image was pinned: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}

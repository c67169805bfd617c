import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { digestOf, imagesIn, pinned } from './image-digests.ts';

/**
 * Pins the images of others that the Dockerfiles, the compose files and the manifests name, by their digests:
 *
 *     node scripts/release/images.ts --check | --pin
 *
 * `--check` ends with code 1 when one has no digest. `--pin` asks the registry for each, and writes them; a tag whose image has
 * changed gets the new one.
 */
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FILES = ['Dockerfile', 'samples/*/Dockerfile', 'compose*.yaml', 'deploy/kubernetes/*.yaml'];

const [mode, ...more] = process.argv.slice(2);
if ((mode !== '--check' && mode !== '--pin') || more.length > 0) {
  process.stderr.write('Say what to do: --check or --pin.\n');
  process.exit(2);
}
const files = globSync(FILES, { cwd: ROOT })
  .toSorted()
  .map((name) => ({ name, path: join(ROOT, name), text: readFileSync(join(ROOT, name), 'utf8') }));
if (mode === '--pin') await pin();
else check();

function check(): void {
  const open = files.flatMap(({ name, text }) =>
    imagesIn(text)
      .filter(({ digest }) => digest === undefined)
      .map((image) => `${name}: ${image.name} has no digest.`),
  );
  for (const line of new Set(open)) process.stdout.write(`${line}\n`);
  if (open.length > 0) {
    process.stdout.write('Run "npm run images -- --pin", where the registry can be reached.\n');
    process.exitCode = 1;
  }
}

/** All digests are known before a file is written, so that no half of them is pinned. */
async function pin(): Promise<void> {
  const digests = new Map<string, string>();
  try {
    for (const { text } of files) {
      for (const { name } of imagesIn(text)) if (!digests.has(name)) digests.set(name, await digestOf(name));
    }
  } catch (error) {
    process.stderr.write(`No image was pinned: ${(error as Error).message}\n`);
    process.exitCode = 1;
    return;
  }
  for (const { path, text } of files) writeFileSync(path, pinned(text, digests));
  for (const [name, digest] of digests) process.stdout.write(`${name}@${digest}\n`);
}

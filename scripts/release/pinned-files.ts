import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DOCKER_HUB, type Registry, digestOf, imagesIn, pinned } from './image-digests.ts';

/** The files that name images. */
const FILES = ['Dockerfile', 'samples/*/Dockerfile', 'compose*.yaml', 'deploy/kubernetes/*.yaml'];

interface ImageFile {
  readonly name: string;
  readonly path: string;
  readonly text: string;
}

/** @param root the folder of the repository. @returns a sentence for each image without a digest. */
export function unpinnedIn(root: string): string[] {
  const open = filesIn(root).flatMap(({ name, text }) =>
    imagesIn(text)
      .filter(({ digest }) => digest === undefined)
      .map((image) => `${name}: ${image.name} has no digest.`),
  );
  return [...new Set(open)];
}

/**
 * Asks the registry for the digest of each image, and writes them into the files. All digests are known
 * before a file is written, so that no half of them is pinned.
 *
 * @param root the folder of the repository.
 * @returns the digest of each image, by its name. @throws Error as {@link digestOf}: then no file has
 * changed.
 */
export async function pinIn(
  root: string,
  registry: Registry = DOCKER_HUB,
): Promise<ReadonlyMap<string, string>> {
  const files = filesIn(root);
  const digests = new Map<string, string>();
  for (const { text } of files) {
    for (const { name } of imagesIn(text))
      if (!digests.has(name)) digests.set(name, await digestOf(name, registry));
  }
  for (const { path, text } of files) writeFileSync(path, pinned(text, digests));
  return digests;
}

function filesIn(root: string): ImageFile[] {
  return globSync(FILES, { cwd: root })
    .toSorted()
    .map((name) => ({ name, path: join(root, name), text: readFileSync(join(root, name), 'utf8') }));
}

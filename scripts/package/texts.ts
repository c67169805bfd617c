import { cp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';

/**
 * Pages about how this repository is built and proved. They point into its tests, so the package goes without
 * them.
 */
const REPOSITORY_PAGES = new Set(['mutation-testing.md', 'proof.md', 'faults.md']);
/** The files that the package copies unchanged from the repository, beside the pages. */
const COPIED = ['LICENSE', 'CHANGELOG.md', 'deploy/prometheus', 'deploy/grafana'];

/** The files that {@link copyTexts} writes into the package. Git ignores all of them. */
export const WRITTEN = ['docs', 'deploy', 'LICENSE', 'CHANGELOG.md'];

/**
 * Copies the documents into the package. A link to a file that the package does not hold becomes plain text,
 * so that no reader of the package follows a link to nowhere.
 *
 * @param repository the folder of the repository.
 * @param target the folder of the package.
 */
export async function copyTexts(repository: string, target: string): Promise<void> {
  for (const name of WRITTEN) await rm(join(target, name), { recursive: true, force: true });
  for (const name of COPIED) await cp(join(repository, name), join(target, name), { recursive: true });
  const docs = join(repository, 'docs');
  for (const page of (await readdir(docs)).filter(isUserPage)) {
    await cp(join(docs, page), join(target, 'docs', page));
  }
  const files = await readdir(target, { recursive: true });
  const held = new Set(files.map((file) => file.replaceAll('\\', '/')));
  // The package has a README of its own, with other headings than the one of the repository.
  held.delete('README.md');
  for (const file of held) {
    if (!file.endsWith('.md') || !WRITTEN.includes(file.split('/')[0]!)) continue;
    const text = await readFile(join(target, file), 'utf8');
    await writeFile(join(target, file), keepLinksTo(held, dirname(file), text));
  }
}

function isUserPage(name: string): boolean {
  return name.endsWith('.md') && !REPOSITORY_PAGES.has(name);
}

/**
 * @returns the text, in which only those relative links remain that lead to a file or folder of the package.
 */
export function keepLinksTo(held: ReadonlySet<string>, folder: string, text: string): string {
  const parts = text.split(/^(```[^]*?^```)$/m);
  return parts
    .map((part) =>
      part.startsWith('```')
        ? part
        : part.replace(/!?\[((?:`[^`]*`|[^[\]])*)\]\(([^)\s]+)\)/g, (link, words: string, address: string) =>
            isHeld(held, folder, address) ? link : words,
          ),
    )
    .join('');
}

function isHeld(held: ReadonlySet<string>, folder: string, address: string): boolean {
  if (/^(?:[a-z]+:|#)/.test(address)) return true;
  const path = posix.join(folder, address.split('#', 1)[0]!).replace(/\/$/, '');
  return held.has(path);
}

import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { WRITTEN } from '../../scripts/package/texts.js';

const ROOT = join(import.meta.dirname, '../..');
const FOLDERS = ['docs', 'deploy', 'bench', 'packages', 'samples', 'site', 'test'];
const NOT_OURS = new Set(['node_modules', 'dist', 'build']);
/**
 * Generated files: the reference, the reports of the public types, and the copies that the build of the
 * package makes.
 */
const GENERATED = new Set([
  'site/reference',
  ...['api', ...WRITTEN].map((name) => join('packages/nestjs-dtc', name)),
]);

/** Every document in Markdown of the repository, by its path from the root. */
export const DOCUMENTS: readonly string[] = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...FOLDERS.filter((folder) => existsSync(join(ROOT, folder))).flatMap((folder) =>
    documentsIn(join(ROOT, folder)),
  ),
].toSorted();

function documentsIn(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (GENERATED.has(relative(ROOT, path))) return [];
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : documentsIn(path);
    return entry.name.endsWith('.md') ? [relative(ROOT, path)] : [];
  });
}

/**
 * @returns the file or folder that a relative link of a document leads to, by its path from the root. A link
 * of the package to a text that is copied into it leads to the original: the copies are not in the
 * repository.
 */
export function targetOf(document: string, link: string): string {
  const path = join(document, '..', link);
  const inPackage = relative('packages/nestjs-dtc', path);
  return WRITTEN.includes(inPackage.split('/')[0]!) ? inPackage : path;
}

import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { WRITTEN } from '../../scripts/package/texts.js';

const ROOT = join(import.meta.dirname, '../..');
const FOLDERS = ['docs', 'deploy', 'bench', 'packages', 'samples', 'test'];
const NOT_OURS = new Set(['node_modules', 'dist', 'build']);
/** Copies that the build of the package has made. */
const COPIES = new Set(WRITTEN.map((name) => join('packages/nestjs-dtc', name)));

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
    if (COPIES.has(relative(ROOT, path))) return [];
    if (entry.isDirectory()) return NOT_OURS.has(entry.name) ? [] : documentsIn(path);
    return entry.name.endsWith('.md') ? [relative(ROOT, path)] : [];
  });
}

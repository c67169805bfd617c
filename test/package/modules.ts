import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ts from 'typescript';

/** What the modules of a package need of each other and of other packages. */
export interface ModuleGraph {
  /** Every module that is reached, as the path of its compiled file relative to the package. */
  readonly files: ReadonlySet<string>;
  /** The names of the packages that are imported, by the code or by its types. */
  readonly packages: ReadonlySet<string>;
}

/**
 * Follows the imports of compiled modules, and of their types.
 *
 * @param root the folder of the package.
 * @param entries the files to begin with, relative to it.
 */
export function modulesReachedFrom(root: string, entries: readonly string[]): ModuleGraph {
  const files = new Set<string>();
  const packages = new Set<string>();
  const waiting = [...entries];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (files.has(file)) continue;
    files.add(file);
    for (const specifier of [...specifiersIn(root, file), ...specifiersIn(root, typesOf(file))]) {
      // Types keep the ending of the source: TypeScript finds the declarations behind it.
      if (specifier.startsWith('.')) waiting.push(join(dirname(file), specifier.replace(/\.ts$/, '.js')));
      else if (!specifier.startsWith('node:')) packages.add(packageOf(specifier));
    }
  }
  return { files, packages };
}

/** @returns the file with the types of a compiled file. */
export function typesOf(file: string): string {
  return file.replace(/\.js$/, '.d.ts');
}

/** @returns what a module imports, in each way that there is: statements, calls of `import`, and types. */
function specifiersIn(root: string, file: string): string[] {
  const source = readFileSync(join(root, file), 'utf8');
  const imports = ts.preProcessFile(source, true, true).importedFiles;
  // The module of a worker thread is named by its address.
  const threads = source.matchAll(/new URL\(`(\.\/[\w-]+)\$\{extname\(/g);
  return [...imports.map(({ fileName }) => fileName), ...Array.from(threads, ([, name]) => `${name}.js`)];
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

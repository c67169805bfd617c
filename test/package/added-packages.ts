import { readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

interface Installed {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

/**
 * @param application the folder of an application with its installed packages.
 * @param name the package in question.
 * @param others the packages that the application needs anyway.
 * @returns the folders that are there only because of the package, itself included.
 */
export function addedPackages(application: string, name: string, others: readonly string[]): string[] {
  const lock = JSON.parse(readFileSync(join(application, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: Readonly<Record<string, Installed>>;
  };
  const anyway = neededBy(lock.packages, others);
  return [...neededBy(lock.packages, [name])].filter((path) => !anyway.has(path)).toSorted();
}

function neededBy(packages: Readonly<Record<string, Installed>>, names: readonly string[]): Set<string> {
  const needed = new Set<string>();
  const waiting = names.map((name) => `node_modules/${name}`);
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    const installed = packages[path];
    if (installed === undefined || needed.has(path)) continue;
    needed.add(path);
    for (const name of needsOf(installed)) {
      const found = find(packages, path, name);
      if (found !== undefined) waiting.push(found);
    }
  }
  return needed;
}

function needsOf({ dependencies, optionalDependencies, peerDependencies, peerDependenciesMeta }: Installed) {
  const peers = Object.keys(peerDependencies ?? {}).filter(
    (name) => peerDependenciesMeta?.[name]?.optional !== true,
  );
  return [...Object.keys(dependencies ?? {}), ...Object.keys(optionalDependencies ?? {}), ...peers];
}

/** Where Node finds a package from within another one: the nearest folder of packages that holds it. */
function find(packages: Readonly<Record<string, Installed>>, from: string, name: string): string | undefined {
  for (let folder = from; folder !== '.'; folder = posix.dirname(folder)) {
    const path = posix.join(folder, 'node_modules', name);
    if (path in packages) return path;
  }
  const top = posix.join('node_modules', name);
  return top in packages ? top : undefined;
}

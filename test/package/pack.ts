import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { run } from './commands.js';

/** It compiles, and checks all types. */
const PACK_MS = 300_000;
const repository = resolve(import.meta.dirname, '../..');

/** What of the repository a release is made from. */
const SOURCES = [
  'src',
  'dashboard',
  'docs',
  'deploy/prometheus',
  'deploy/grafana',
  'scripts/package',
  'packages',
  'package.json',
  'tsconfig.json',
  'CHANGELOG.md',
  'LICENSE',
];

/** The library as it is published. */
export interface Packed {
  /** The folder that it was packed from. The packages of the repository are found from there. */
  readonly released: string;
  readonly tarball: string;
}

/**
 * Builds and packs in a copy, so that no other process sees half a package.
 *
 * @param workshop an empty folder.
 */
export async function pack(workshop: string): Promise<Packed> {
  const copy = join(workshop, 'release');
  const released = join(copy, 'packages/nestjs-dtc');
  const tarballs = join(workshop, 'tarballs');
  await mkdir(tarballs);
  for (const name of SOURCES) await cp(join(repository, name), join(copy, name), { recursive: true });
  await symlink(join(repository, 'node_modules'), join(copy, 'node_modules'), 'dir');
  await run(released, PACK_MS, 'npm', 'pack', '--pack-destination', tarballs);
  const [name] = await readdir(tarballs);
  if (name === undefined) throw new Error('npm pack wrote no tarball.');
  return { released, tarball: join(tarballs, name) };
}

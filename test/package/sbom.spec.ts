import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Bom } from '../../scripts/release/bill-of-materials.js';

const ROOT = resolve(import.meta.dirname, '../..');

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

function manifestOf(path: string): Manifest {
  return JSON.parse(readFileSync(join(ROOT, path), 'utf8')) as Manifest;
}

describe('the list of packages of a release', () => {
  let folder: string;
  let bom: Bom & { readonly bomFormat: string };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'sbom-'));
    const file = join(folder, 'sbom.json');
    const { status, stderr } = spawnSync(process.execPath, ['scripts/release/sbom.ts', file], {
      cwd: ROOT,
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(status).toBe(0);
    bom = JSON.parse(readFileSync(file, 'utf8')) as typeof bom;
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is a CycloneDX document of the application, by its name and version', () => {
    const { name, version } = manifestOf('package.json');

    expect(bom.bomFormat).toBe('CycloneDX');
    expect(bom.metadata.component).toMatchObject({ name, version });
  });

  it('has the dependencies of the application and of the library', () => {
    const names = bom.components.map(({ name }) => name);

    for (const path of ['package.json', 'packages/nestjs-dtc/package.json']) {
      expect(names).toEqual(expect.arrayContaining(Object.keys(manifestOf(path).dependencies)));
    }
    expect(names).toContain('nestjs-dtc');
  });

  it('has the packages that npm installs into the image, and beside them only the library and its peers', () => {
    for (const name of ['package.json', 'package-lock.json', '.npmrc'])
      copyFileSync(join(ROOT, name), join(folder, name));
    const args = ['ci', '--omit=dev', '--omit=optional', '--dry-run', '--offline'];
    const { stdout } = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' });
    const installed = Array.from(
      stdout.matchAll(/^add (\S+) (\S+)$/gm),
      ([, name, version]) => `${name}@${version}`,
    );
    const library = manifestOf('packages/nestjs-dtc/package.json');
    // The image has no library as a package, and so not what only its types ask for.
    const peers = Object.keys(library.peerDependencies);

    const listed = bom.components.map(({ name, version }) => ({ name, id: `${name}@${version}` }));

    expect(installed.length).toBeGreaterThan(100);
    const ids = new Set(listed.map(({ id }) => id));
    expect(installed.filter((id) => !ids.has(id))).toEqual([]);
    const more = listed.filter(({ id }) => !installed.includes(id)).map(({ name }) => name);
    expect(more.filter((name) => ![...peers, library.name].includes(name))).toEqual([]);
  });

  it('has the dependencies of each package, and names no other', () => {
    const refs = new Set(bom.components.map((component) => component['bom-ref']));
    const named = bom.dependencies.flatMap(({ dependsOn }) => dependsOn);

    expect(named.filter((ref) => !refs.has(ref))).toEqual([]);
    expect(bom.dependencies.length).toBe(refs.size + 1);
  });
});

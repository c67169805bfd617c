import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../package/commands.js';
import { HAS_CURL, REQUESTS, SET_UP, followPage, outputOf, writeFilesOfPage } from './tutorial-page.js';

/**
 * Follows docs/tutorial.md from start to end in an empty folder: what the page says to put into a file is put
 * there, its commands are run, and their output is what the page shows. Only `npm install` is another:
 * packages are linked, for the network may be away. The library is built, and finds no package but those that
 * its manifest declares. test/package/newcomer.spec.ts installs as the page says.
 */
const ROOT = join(import.meta.dirname, '../..');
const LIBRARY = join(ROOT, 'packages/nestjs-dtc');
const MINUTE_MS = 60_000;

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
}

const manifest = JSON.parse(readFileSync(join(LIBRARY, 'package.json'), 'utf8')) as Manifest;
const installed = SET_UP.filter((line) => line.startsWith('npm install '))
  .flatMap((line) => line.split(' ').slice(2))
  .filter((word) => !word.startsWith('--'));

describe('the tutorial', () => {
  let parent: string;
  let folder: string;

  beforeAll(async () => {
    parent = mkdtempSync(join(tmpdir(), 'tutorial-'));
    const others = SET_UP.filter((line) => !line.startsWith('npm install '));
    folder = (
      await run(parent, MINUTE_MS, 'bash', '-euc', `{ ${others.join('\n')}\n} >/dev/null; pwd`)
    ).trim();
    for (const name of installed.filter((one) => one !== 'nestjs-dtc')) link(name);
    for (const name of Object.keys(manifest.dependencies)) link(name);
    mkdirSync(join(folder, 'node_modules/.bin'));
    symlinkSync(join(ROOT, 'node_modules/.bin/tsc'), join(folder, 'node_modules/.bin/tsc'));
    buildLibrary(join(folder, 'node_modules/nestjs-dtc'));
    writeFilesOfPage(folder);
  }, 3 * MINUTE_MS);

  afterAll(() => rmSync(parent, { recursive: true, force: true }));

  function link(name: string): void {
    const path = join(folder, 'node_modules', name);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), path, 'dir');
  }

  /**
   * Puts the library where it is found as a package, and not as a link: Node then looks for its imports
   * beside it.
   */
  function buildLibrary(target: string): void {
    mkdirSync(target, { recursive: true });
    cpSync(join(LIBRARY, 'package.json'), join(target, 'package.json'));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const args = [tsc, '-p', LIBRARY, '--outDir', join(target, 'dist'), '--noCheck'];
    const { status, stdout } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });
    if (status !== 0) throw new Error(`The library was not built: ${stdout}`);
  }

  it('installs each package that the library wants beside it', () => {
    const wanted = Object.keys(manifest.peerDependencies).filter(
      (name) => manifest.peerDependenciesMeta[name]?.optional !== true,
    );

    expect(installed).toContain('nestjs-dtc');
    expect(wanted.filter((name) => !installed.includes(name))).toEqual([]);
  });

  it('shows the output of each request', () => {
    expect(REQUESTS).toHaveLength(2);
    expect(REQUESTS.map(outputOf).join('\n')).toMatch(/committed"\} 201\n[^]*"DTC_REFUSED"[^]* 409\n/);
  });

  it.runIf(HAS_CURL)('leads to a transaction that commits and to one that is refused', async () => {
    const output = await followPage(folder);

    expect(output).toMatch(/Participant "north"[^]*Participant "south"/);
    expect(output).not.toContain('WARN');
    expect(output).toMatch(/transaction aborted.*cause: 'refused'/);
  });
});

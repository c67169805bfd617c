import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync, cpSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../package/commands.js';
import { type Block, blocksIn } from './blocks.js';
import { freePort } from '../../src/postgres-server/free-port.js';

/**
 * Follows docs/tutorial.md from start to end in an empty folder: what the page says to put into a file is put there, its commands
 * are run, and their output is what the page shows. Only `npm install` is another: packages are linked, for the network
 * may be away. The library is built, and finds no package but those that its manifest declares.
 */
const ROOT = join(import.meta.dirname, '../..');
const LIBRARY = join(ROOT, 'packages/nestjs-dtc');
const PORT_IN_THE_PAGE = '127.0.0.1:3000';
const MINUTE_MS = 60_000;

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional?: boolean }>>;
}

const manifest = JSON.parse(readFileSync(join(LIBRARY, 'package.json'), 'utf8')) as Manifest;
const blocks = blocksIn('docs/tutorial.md');
const commands = blocks.filter(({ language }) => language === 'sh');
const [setUp, start, ...requests] = commands;
const installed = setUp!.code
  .split('\n')
  .filter((line) => line.startsWith('npm install '))
  .flatMap((line) => line.split(' ').slice(2))
  .filter((word) => !word.startsWith('--'));

const hasCurl = spawnSync('curl', ['--version']).status === 0;

/** The block that shows the output of another one: the next one. */
function outputOf(block: Block): string {
  const next = blocks[blocks.indexOf(block) + 1]!;
  expect(next.language).toBe('text');
  return next.code;
}

/** Each application has a log of its own, and so other ids. An id that has another form stays, and differs. */
function withoutIds(output: string): string {
  return output.replaceAll(/"two-banks\.[0-9a-z]{12}\.1\.\d+"/g, '"an id"');
}

describe('the tutorial', () => {
  let parent: string;
  let folder: string;
  let port: number;
  let application: ChildProcess | undefined;

  beforeAll(async () => {
    parent = mkdtempSync(join(tmpdir(), 'tutorial-'));
    const others = setUp!.code.split('\n').filter((line) => !line.startsWith('npm install '));
    folder = (
      await run(parent, MINUTE_MS, 'bash', '-euc', `{ ${others.join('\n')}\n} >/dev/null; pwd`)
    ).trim();
    for (const name of installed.filter((one) => one !== 'nestjs-dtc')) link(name);
    for (const name of Object.keys(manifest.dependencies)) link(name);
    mkdirSync(join(folder, 'node_modules/.bin'));
    symlinkSync(join(ROOT, 'node_modules/.bin/tsc'), join(folder, 'node_modules/.bin/tsc'));
    buildLibrary(join(folder, 'node_modules/nestjs-dtc'));
    for (const { file, code } of blocks.filter((block) => block.file !== undefined)) {
      mkdirSync(dirname(join(folder, file!)), { recursive: true });
      writeFileSync(join(folder, file!), code);
    }
    port = await freePort();
  }, 2 * MINUTE_MS);

  afterAll(() => {
    application?.kill('SIGKILL');
    rmSync(parent, { recursive: true, force: true });
  });

  function link(name: string): void {
    const path = join(folder, 'node_modules', name);
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules', name), path, 'dir');
  }

  /** Where the library is found as a package, and not as a link: what it imports is looked for beside it. */
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
    expect(requests).toHaveLength(2);
    expect(requests.map(outputOf).join('\n')).toMatch(/committed"\} 201\n[^]*"DTC_REFUSED"[^]* 409\n/);
  });

  it.runIf(hasCurl)('leads to a transaction that commits and to one that is refused', async () => {
    const [compile, serve, ...more] = start!.code.trim().split('\n');
    expect(more).toEqual([]);
    await run(folder, MINUTE_MS, 'bash', '-euc', compile!);
    const [program, ...args] = serve!.split(' ');
    expect(program).toBe('node');
    application = spawn(process.execPath, args, {
      cwd: folder,
      env: { ...process.env, PORT: String(port), NO_COLOR: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [application.stdout!, application.stderr!]) {
      stream.setEncoding('utf8').on('data', (text: string) => (output += text));
    }
    await listens();

    for (const block of requests) {
      const script = block.code.replaceAll(PORT_IN_THE_PAGE, `127.0.0.1:${port}`);
      const shown = await run(folder, MINUTE_MS, 'bash', '-euc', script);
      expect(withoutIds(shown)).toBe(withoutIds(outputOf(block)));
    }

    expect(output).toMatch(/Participant "north"[^]*Participant "south"/);
    expect(output).not.toContain('WARN');
    expect(output).toMatch(/transaction aborted.*cause: 'refused'/);
    application.kill('SIGTERM');
    expect(await once(application, 'close')).toEqual([null, 'SIGTERM']);
  });

  async function listens(): Promise<void> {
    while (application!.exitCode === null) {
      const isUp = await fetch(`http://127.0.0.1:${port}/balances`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (isUp) return;
    }
    throw new Error(`The application ended with code ${application!.exitCode}.`);
  }
});

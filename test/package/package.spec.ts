import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink } from 'node:fs/promises';
import { existsSync, globSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandFailedError, run } from './commands.js';
import { type ModuleGraph, modulesReachedFrom, typesOf } from './modules.js';

const MINUTE_MS = 60_000;
const repository = resolve(import.meta.dirname, '../..');
/** What of the repository a release is made from. */
const SOURCES = [
  'src',
  'dashboard',
  'docs',
  'deploy/prometheus',
  'deploy/grafana',
  'package.json',
  'nest-cli.json',
  'tsconfig.json',
  'tsconfig.build.json',
];
/** What browsers load; no module of the library does. */
const DASHBOARD = 'dist/dashboard/';
/** The packages that the coordinator is made with. */
const CORE = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/event-emitter',
  '@nestjs/schedule',
  '@opentelemetry/api',
  'rxjs',
  'zod',
];
const TEXTS = ['README.md', 'LICENSE', 'CHANGELOG.md'];

interface Manifest {
  readonly version: string;
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string } | string>>;
  readonly dependencies: Readonly<Record<string, string>>;
}

let workshop: string;
let consumer: string;
/** The package as it was installed. */
let installed: string;
let manifest: Manifest;
/** Every file of the package, relative to it. */
let files: string[];
let graph: ModuleGraph;

beforeAll(async () => {
  workshop = await mkdtemp(join(tmpdir(), 'package-'));
  const tarball = await pack();
  consumer = join(workshop, 'consumer');
  await cp(join(repository, 'samples/consumer'), consumer, {
    recursive: true,
    filter: (source) => !/[/\\](?:node_modules|dist)$/.test(source),
  });
  await install(tarball);
  installed = join(consumer, 'node_modules/nestjs-dtc');
  manifest = JSON.parse(await readFile(join(installed, 'package.json'), 'utf8')) as Manifest;
  const entries = await readdir(installed, { recursive: true, withFileTypes: true });
  files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(installed.length + 1))
    .filter((file) => !file.startsWith('node_modules'));
  graph = modulesReachedFrom(
    installed,
    Object.values(manifest.exports).flatMap((target) =>
      typeof target === 'string' ? [] : [join(target.default)],
    ),
  );
}, 5 * MINUTE_MS);

afterAll(() => rm(workshop, { recursive: true, force: true }));

/** Builds and packs in a copy, so that whoever runs the application from `dist` is not disturbed. */
async function pack(): Promise<string> {
  const copy = join(workshop, 'release');
  const tarballs = join(workshop, 'tarballs');
  await mkdir(tarballs);
  for (const name of [...SOURCES, ...TEXTS.filter((text) => existsSync(join(repository, text)))]) {
    await cp(join(repository, name), join(copy, name), { recursive: true });
  }
  await symlink(join(repository, 'node_modules'), join(copy, 'node_modules'), 'dir');
  await run(copy, 2 * MINUTE_MS, 'npm', 'pack', '--pack-destination', tarballs);
  const [tarball] = await readdir(tarballs);
  if (tarball === undefined) throw new Error('npm pack wrote no tarball.');
  return join(tarballs, tarball);
}

function entryOf(name: string): string {
  const target = manifest.exports[name];
  if (typeof target !== 'object') throw new Error(`The package has no entry ${name}.`);
  return join(target.default);
}

async function install(tarball: string): Promise<void> {
  const flags = ['--prefer-offline', '--no-audit', '--no-fund'];
  try {
    await run(consumer, 3 * MINUTE_MS, 'npm', 'install', ...flags, tarball);
  } catch (error) {
    const { output } = error as CommandFailedError;
    throw new Error(
      'The package could not be installed into a fresh folder. That takes the registry, or an npm cache that has ' +
        `everything already: check the network and run the test again.\n${output}`,
      { cause: error },
    );
  }
}

describe('the package', () => {
  it('holds the compiled library and texts, and nothing else', () => {
    const strangers = files.filter(
      (file) =>
        !/^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|docs\/.*|deploy\/(?:prometheus|grafana)\/.*|dist\/.*\.(?:js|d\.ts)|dist\/dashboard\/.*)$/.test(
          file,
        ),
    );
    expect(strangers).toEqual([]);
    expect(files).toContain('package.json');
    expect(files).toContain('deploy/prometheus/alerts.yml');
    expect(files).toContain('deploy/grafana/dashboards/transactions.json');
  });

  it('holds the dashboard: a page, its script and its style sheet', () => {
    const names = files
      .filter((file) => file.startsWith(DASHBOARD))
      .map((file) => file.slice(DASHBOARD.length).replace(/-.{8}\./, '.'));
    expect(names.toSorted()).toEqual([
      'assets/index.css',
      'assets/index.js',
      'icon.svg',
      'index.html',
      'licenses.md',
    ]);
  });

  it('holds no test and no fixture', () => {
    expect(files.filter((file) => /\.(?:spec|test|fixture)\./.test(file))).toEqual([]);
  });

  it('holds no module that its entries do not need, such as those of the application', () => {
    const modules = files.filter((file) => file.endsWith('.js') && !file.startsWith(DASHBOARD));
    expect(modules.filter((file) => !graph.files.has(file))).toEqual([]);
    expect(modules.length).toBeGreaterThan(50);
  });

  it('holds the types of every module', () => {
    const untyped = [...graph.files].filter((file) => !files.includes(typesOf(file)));
    expect(untyped).toEqual([]);
  });

  it('depends on every package that it imports', () => {
    expect([...graph.packages].filter((name) => !(name in manifest.dependencies))).toEqual([]);
  });

  it.each([
    ['.', CORE],
    ['./testing', CORE],
    ['./sqlite', CORE],
    ['./pino', [...CORE, 'pino']],
    ['./postgres', [...CORE, 'pg']],
    ['./operations', [...CORE, '@nestjs/swagger', '@nestjs/terminus', 'prom-client']],
  ])('loads behind %s the packages of that entry, and no others', (entry, allowed) => {
    const { packages } = modulesReachedFrom(installed, [entryOf(entry)]);
    expect([...packages].filter((name) => !allowed.includes(name))).toEqual([]);
  });

  it('keeps its inside to itself', async () => {
    const script = `await import('nestjs-dtc/dist/coordinator/index.js')`;
    await expect(
      run(consumer, MINUTE_MS, process.execPath, '--input-type=module', '--eval', script),
    ).rejects.toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });
});

describe('an application that installs it', () => {
  it('gets one copy of Nest, and of what Nest is made of', () => {
    for (const name of ['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs']) {
      const copies = globSync(`**/node_modules/${name}/package.json`, { cwd: consumer }).map(dirname);
      expect(copies).toEqual([join('node_modules', name)]);
    }
  });

  it(
    'compiles against its types',
    async () => {
      await run(consumer, 2 * MINUTE_MS, 'npm', 'run', 'build');
      expect(existsSync(join(consumer, 'dist/main.js'))).toBe(true);
    },
    3 * MINUTE_MS,
  );

  it(
    'commits and aborts',
    async () => {
      const output = await run(consumer, MINUTE_MS, process.execPath, 'dist/main.js');
      const lines = output.split('\n').filter((line) => line !== '');
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
        { cents: 3_000, outcome: 'committed', ada: 7_000, bob: 3_000 },
        { cents: 8_000, outcome: 'aborted by north: INSUFFICIENT_FUNDS', ada: 7_000, bob: 3_000 },
      ]);
    },
    MINUTE_MS,
  );

  it(
    'tests itself with the testing entry',
    async () => {
      const output = await run(consumer, MINUTE_MS, 'npm', 'test');
      expect(output).toMatch(/^# pass 2$|^ℹ pass 2$/m);
      expect(output).toMatch(/^# fail 0$|^ℹ fail 0$/m);
    },
    MINUTE_MS,
  );
});

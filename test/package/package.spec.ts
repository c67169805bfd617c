import { cp, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { publint } from 'publint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addedPackages } from './added-packages.js';
import { CommandFailedError, run } from './commands.js';
import { pack } from './pack.js';
import { type ModuleGraph, modulesReachedFrom, typesOf } from './modules.js';

/** Far more than a command takes, on a slow machine with other work, and with the registry behind a proxy. */
const COMMAND_MS = 180_000;
/** A test or a set-up has some commands. */
const LIMIT_MS = 480_000;
const repository = resolve(import.meta.dirname, '../..');
/** What browsers load; no module of the library does. */
const DASHBOARD = 'dist/dashboard/';
/** What a Nest application on Express has before it installs the library. */
const NEST_ON_EXPRESS = [
  '@nestjs/common',
  '@nestjs/core',
  '@nestjs/platform-express',
  'reflect-metadata',
  'rxjs',
];
/** The optional peers that each entry needs. No entry needs any other. */
const OPTIONAL_PEERS_OF: Readonly<Record<string, readonly string[]>> = {
  '.': [],
  './testing': [],
  './sqlite': [],
  './problem': [],
  './host': [],
  './remote': ['undici'],
  './rest-at': [],
  './microservices': ['@nestjs/microservices'],
  './pino': ['pino'],
  './postgres': ['pg', '@types/pg'],
  './mariadb': ['mysql2'],
  './outbox': [],
  './client': [],
  './server': ['@nestjs/swagger', 'undici'],
  './operations': ['@nestjs/swagger', '@nestjs/terminus', 'prom-client'],
};
const ENTRIES = Object.keys(OPTIONAL_PEERS_OF);
/** Optional peers that the code imports while it runs, if they are there. Its types do without them. */
const TRIED = ['@nestjs/event-emitter'];

interface Manifest {
  readonly version: string;
  readonly publishConfig: Readonly<Record<string, string>>;
  readonly engines: { readonly node: string };
  readonly exports: Readonly<Record<string, { readonly types: string; readonly default: string } | string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta: Readonly<Record<string, { readonly optional: boolean }>>;
}

const manifest = manifestOf('packages/nestjs-dtc/package.json');
const optionalPeers = Object.keys(manifest.peerDependenciesMeta);
/** What every entry may import. */
const always = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.peerDependencies)].filter(
  (name) => !optionalPeers.includes(name),
);

let workshop: string;
let consumer: string;
/** The folder that the package was packed from. The packages of the repository are found from there. */
let released: string;
let tarball: string;
/** The package as it was installed. */
let installed: string;
/** Every file of the package, relative to it. */
let files: string[];
let graph: ModuleGraph;

beforeAll(async () => {
  workshop = await mkdtemp(join(tmpdir(), 'package-'));
  ({ released, tarball } = await pack(workshop));
  consumer = join(workshop, 'consumer');
  await cp(join(repository, 'samples/consumer'), consumer, {
    recursive: true,
    filter: (source) => !/[/\\](?:node_modules|dist)$/.test(source),
  });
  await install();
  installed = join(consumer, 'node_modules/nestjs-dtc');
  const entries = await readdir(installed, { recursive: true, withFileTypes: true });
  files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(installed, join(entry.parentPath, entry.name)))
    .filter((file) => !file.startsWith('node_modules'));
  graph = modulesReachedFrom(installed, ENTRIES.map(entryOf));
}, LIMIT_MS);

afterAll(() => rm(workshop, { recursive: true, force: true }));

function manifestOf(path: string): Manifest {
  return JSON.parse(readFileSync(join(repository, path), 'utf8')) as Manifest;
}

function entryOf(name: string): string {
  const target = manifest.exports[name];
  if (typeof target !== 'object') throw new Error(`The package has no entry ${name}.`);
  return join(target.default);
}

/** @returns how a program names an entry. */
function specifierOf(entry: string): string {
  return join('nestjs-dtc', entry);
}

async function install(): Promise<void> {
  const flags = ['--prefer-offline', '--no-audit', '--no-fund'];
  try {
    await run(consumer, COMMAND_MS, 'npm', 'install', ...flags, tarball);
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
        !/^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|docs\/[\w-]+\.md|deploy\/(?:prometheus|grafana)\/.*|dist\/.*\.(?:js|d\.ts)|dist\/microservices\/[\w-]+\.proto|dist\/dashboard\/.*)$/.test(
          file,
        ),
    );
    expect(strangers).toEqual([]);
    for (const file of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'docs/using.md'])
      expect(files).toContain(file);
    expect(files).toContain('deploy/prometheus/alerts.yml');
    expect(files).toContain('deploy/grafana/dashboards/transactions.json');
    expect(files).toContain('dist/microservices/participant-host.proto');
  });

  it('holds the dashboard: a page, its script and its style sheet', () => {
    const names = files
      .filter((file) => file.startsWith(DASHBOARD))
      .map((file) => file.slice(DASHBOARD.length).replace(/-.{8}\./, '.'));
    expect(names.toSorted()).toEqual([
      'assets/_virtual_runbook.js',
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

  it('holds the types of every module, and none that is internal', () => {
    const types = [...graph.files].map(typesOf);
    expect(types.filter((file) => !files.includes(file))).toEqual([]);
    const internal = types.filter((file) =>
      readFileSync(join(installed, file), 'utf8').includes('@internal'),
    );
    expect(internal).toEqual([]);
  });

  it('holds every file that its documents link to', () => {
    const broken = files
      .filter((file) => file.endsWith('.md') && !file.startsWith(DASHBOARD))
      .flatMap((file) =>
        Array.from(readFileSync(join(installed, file), 'utf8').matchAll(/\]\((?!https?:|#)([^)#\s]+)/g))
          .filter(([, target]) => !existsSync(join(installed, dirname(file), target!)))
          .map(([, target]) => `${file} links to ${target}`),
      );
    expect(broken).toEqual([]);
  });

  it('has an entry for each that is named here, and no other', () => {
    expect(Object.keys(manifest.exports).toSorted()).toEqual([...ENTRIES, './package.json'].toSorted());
  });

  it('can be published, as a candidate that only those get who ask for one', async () => {
    const output = await run(workshop, COMMAND_MS, 'npm', 'publish', '--dry-run', tarball);

    expect(output).toBe(`+ nestjs-dtc@${manifest.version}\n`);
    expect(manifest.publishConfig).toEqual({
      access: 'public',
      ...(manifest.version.includes('-') && { tag: 'next' }),
    });
  });

  it('says the same version and engines in its manifest, in its code and in the repository', async () => {
    const { VERSION } = (await import(
      pathToFileURL(join(installed, 'dist/coordinator/version.js')).href
    )) as typeof import('../../src/coordinator/version.js');
    const root = manifestOf('package.json');
    expect([VERSION, root.version]).toEqual([manifest.version, manifest.version]);
    expect(root.engines).toEqual(manifest.engines);
  });

  it('is as publint wants it', async () => {
    const { messages } = await publint({ pack: { tarball: await arrayBufferOf(tarball) }, strict: true });
    expect(messages).toEqual([]);
  });

  it(
    'resolves to its types in every way that TypeScript resolves modules',
    async () => {
      const attw = join(repository, 'node_modules/@arethetypeswrong/cli/dist/index.js');
      const output = await run(released, COMMAND_MS, process.execPath, attw, tarball, '--format', 'json');
      const { analysis } = JSON.parse(output) as { analysis: { entrypoints: Record<string, unknown> } };
      expect(Object.keys(analysis.entrypoints).toSorted()).toEqual(Object.keys(manifest.exports).toSorted());
    },
    LIMIT_MS,
  );

  it('keeps its inside to itself', async () => {
    const script = `await import('nestjs-dtc/dist/coordinator/index.js')`;
    await expect(
      run(consumer, COMMAND_MS, process.execPath, '--input-type=module', '--eval', script),
    ).rejects.toThrow('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });
});

async function arrayBufferOf(path: string): Promise<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = await readFile(path);
  return buffer.slice(byteOffset, byteOffset + byteLength);
}

describe('the manifest of the package', () => {
  it.each(ENTRIES)('declares every package that %s imports, in code and in types', (entry) => {
    const { packages } = modulesReachedFrom(installed, [entryOf(entry)]);
    const declared = new Set([...always, ...TRIED, ...OPTIONAL_PEERS_OF[entry]!]);
    expect([...packages].filter((name) => !declared.has(name))).toEqual([]);
  });

  it('declares no package that no entry imports', () => {
    const used = new Set(graph.packages);
    // It is no module that decorated classes import: it adds to `Reflect`, which they use.
    if (
      [...graph.files].some((file) =>
        readFileSync(join(installed, file), 'utf8').includes('Reflect.getMetadata'),
      )
    )
      used.add('reflect-metadata');
    for (const name of graph.packages) used.add(`@types/${name.replace(/^@(.+)\//, '$1__')}`);
    expect([...always, ...optionalPeers].filter((name) => !used.has(name))).toEqual([]);
  });

  it.each(TRIED)('names %s in one place, a call of import that may fail', (name) => {
    const importing = [...graph.files, ...[...graph.files].map(typesOf)].filter((file) =>
      new RegExp(`(?:from|import\\() ?['"]${name}`).test(readFileSync(join(installed, file), 'utf8')),
    );
    expect(importing).toHaveLength(1);
    expect(readFileSync(join(installed, importing[0]!), 'utf8')).toContain(`await import('${name}')`);
  });

  it('declares exactly the packages of some entries as optional', () => {
    const needed = new Set([...TRIED, ...Object.values(OPTIONAL_PEERS_OF).flat()]);
    expect(optionalPeers.toSorted()).toEqual([...needed].toSorted());
  });

  it.each(ENTRIES)('declares enough for %s to load', async (entry) => {
    await expect(load(entry, [...always, ...OPTIONAL_PEERS_OF[entry]!])).resolves.toBe('loaded\n');
  });

  it.each(
    ENTRIES.filter((entry) =>
      OPTIONAL_PEERS_OF[entry]!.some((name) => ['pg', 'prom-client', '@nestjs/microservices'].includes(name)),
    ),
  )('declares nothing too much for %s: it does not load with less', async (entry) => {
    await expect(load(entry, always)).rejects.toThrow('ERR_MODULE_NOT_FOUND');
  });
});

/** Imports an entry where only these packages can be imported. */
function load(entry: string, declared: readonly string[]): Promise<string> {
  const script = `await import(${JSON.stringify(pathToFileURL(join(released, entryOf(entry))).href)}); console.log('loaded');`;
  const hook = pathToFileURL(join(import.meta.dirname, 'only-declared.ts')).href;
  const options = ['--import', 'reflect-metadata', '--import', hook, '--input-type=module', '--eval', script];
  const environment = { FOLDER: pathToFileURL(released).href, DECLARED: JSON.stringify(declared) };
  return run(
    released,
    LIMIT_MS,
    'env',
    ...Object.entries(environment).map((pair) => pair.join('=')),
    process.execPath,
    ...options,
  );
}

describe('an application that installs it', () => {
  it('gets one copy of Nest, and of its packages', () => {
    for (const name of ['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs']) {
      const copies = globSync(`**/node_modules/${name}/package.json`, { cwd: consumer }).map(dirname);
      expect(copies).toEqual([join('node_modules', name)]);
    }
  });

  it('gets at most 15 packages that a Nest application on Express has not, and no optional peer', () => {
    const added = addedPackages(consumer, 'nestjs-dtc', NEST_ON_EXPRESS);
    expect(added).toContain('node_modules/nestjs-dtc');
    expect(added).toContain('node_modules/zod');
    expect(added.length).toBeLessThanOrEqual(15);
    const peers = optionalPeers.filter((name) => existsSync(join(consumer, 'node_modules', name)));
    expect(peers).toEqual([]);
  });

  it.each(ENTRIES.filter((entry) => OPTIONAL_PEERS_OF[entry]!.length === 0))(
    'can import and require %s without an optional peer',
    async (entry) => {
      const names = `Object.keys(MODULE).length > 0`;
      const specifier = JSON.stringify(specifierOf(entry));
      const script =
        `import 'reflect-metadata'; import { createRequire } from 'node:module';` +
        `const imported = await import(${specifier}); const required = createRequire('${join(consumer, 'x.cjs')}')(${specifier});` +
        `console.log(${names.replace('MODULE', 'imported')}, ${names.replace('MODULE', 'required')});`;
      const output = await run(
        consumer,
        COMMAND_MS,
        process.execPath,
        '--input-type=module',
        '--eval',
        script,
      );
      expect(output).toBe('true true\n');
    },
  );

  it(
    'compiles against its types',
    async () => {
      await run(consumer, COMMAND_MS, 'npm', 'run', 'build');
      expect(existsSync(join(consumer, 'dist/main.js'))).toBe(true);
    },
    LIMIT_MS,
  );

  it(
    'commits and aborts',
    async () => {
      const output = await run(consumer, COMMAND_MS, process.execPath, 'dist/main.js');
      const lines = output.split('\n').filter((line) => line !== '');
      expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
        { cents: 3_000, outcome: 'committed', ada: 7_000, bob: 3_000 },
        { cents: 8_000, outcome: 'aborted by north: INSUFFICIENT_FUNDS', ada: 7_000, bob: 3_000 },
      ]);
    },
    LIMIT_MS,
  );

  it(
    'tests itself with the testing entry',
    async () => {
      const output = await run(consumer, COMMAND_MS, 'npm', 'test');
      expect(output).toMatch(/^# pass 3$|^ℹ pass 3$/m);
      expect(output).toMatch(/^# fail 0$|^ℹ fail 0$/m);
    },
    LIMIT_MS,
  );

  it('is told by npm that it needs another version of Nest, when it has the one before', async () => {
    const folder = join(workshop, 'earlier');
    const names = ['@nestjs/common', '@nestjs/core'];
    for (const name of names) {
      await mkdir(join(folder, 'fakes', name), { recursive: true });
      await writeFile(
        join(folder, 'fakes', name, 'package.json'),
        JSON.stringify({ name, version: '11.1.0' }),
      );
    }
    const dependencies = Object.fromEntries(names.map((name) => [name, `file:fakes/${name}`]));
    await writeFile(join(folder, 'package.json'), JSON.stringify({ name: 'earlier', dependencies }));

    const installation = run(folder, COMMAND_MS, 'npm', 'install', '--dry-run', '--prefer-offline', tarball);

    await expect(installation).rejects.toThrow(
      /ERESOLVE[^]*Found: @nestjs\/common@11\.1\.0[^]*peer @nestjs\/common@"\^12\.0\.0" from nestjs-dtc@/,
    );
  });
});

describe('a CommonJS application that installs it', () => {
  let folder: string;

  beforeAll(async () => {
    folder = join(workshop, 'commonjs');
    await cp(join(repository, 'samples/commonjs'), folder, {
      recursive: true,
      filter: (source) => !/[/\\](?:node_modules|dist)$/.test(source),
    });
    await symlink(join(consumer, 'node_modules'), join(folder, 'node_modules'), 'dir');
  });

  it.each([
    ['nodenext', []],
    ['node10', ['--module', 'commonjs', '--moduleResolution', 'node10', '--ignoreDeprecations', '6.0']],
  ])(
    'compiles with the module resolution %s, requires it, commits and aborts',
    async (resolution, options) => {
      const tsc = join(folder, 'node_modules/typescript/bin/tsc');
      await run(folder, COMMAND_MS, process.execPath, tsc, '--outDir', resolution, ...options);

      const output = await run(folder, COMMAND_MS, process.execPath, join(resolution, 'main.js'));

      expect(readFileSync(join(folder, resolution, 'trips.js'), 'utf8')).toContain('require("nestjs-dtc")');
      expect(output).toBe('committed, 6 seats are taken\naborted, 6 seats are taken\n');
    },
    LIMIT_MS,
  );
});

describe('the README of the package', () => {
  const readme = readFileSync(join(repository, 'packages/nestjs-dtc/README.md'), 'utf8');
  const sample = globSync('samples/consumer/src/*.ts', { cwd: repository }).map((file) =>
    readFileSync(join(repository, file), 'utf8'),
  );
  const blocks = Array.from(readme.matchAll(/^```ts\n(.*?)^```$/gms), ([, code]) => code!);

  it('shows code', () => expect(blocks.length).toBeGreaterThan(2));

  it.each(blocks.map((code) => [code.split('\n')[0]!, code]))(
    'shows code of the application that was compiled and run: %s',
    (_first, code) => {
      const parts = code.split(/\n(?=\n@)/).map((part) => part.trim());
      for (const part of parts) expect(sample.filter((source) => source.includes(part))).toHaveLength(1);
    },
  );

  it('names every entry, with the optional peers that it needs', () => {
    for (const [entry, peers] of Object.entries(OPTIONAL_PEERS_OF)) {
      const row = readme.split('\n').find((line) => line.startsWith(`| \`${specifierOf(entry)}\` `));
      expect(row).toBeDefined();
      for (const name of peers) expect(row).toContain(`\`${name}\``);
    }
  });
});

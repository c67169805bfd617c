import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { DCLinter } from 'dclint';
import { run as lintDockerfile } from 'dockerfilelint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { importsIn } from '../../scripts/picture/imports.js';
import { namesOf, variablesOf } from '../../src/common/config/environment.js';
import { type Configuration, applicationSchema, readConfiguration } from '../../src/configuration.js';
import { coordinatorOptionsSchema } from '../../src/coordinator/coordinator.options.js';

const ROOT = join(import.meta.dirname, '../..');
const SECRETS = '/run/secrets/';

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string | number>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: { readonly test: readonly string[] };
  readonly stop_grace_period?: string;
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

const compose = parse(textOf('compose.yaml'), { merge: true }) as Compose;
const services = Object.entries(compose.services);
const app = compose.services['app']!;
const databases = services.filter(([, { image }]) => image?.startsWith('postgres:'));
const instructions = instructionsOf(textOf('Dockerfile'));

function textOf(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** @returns the instructions of a Dockerfile in their order, each with what follows its word. */
function instructionsOf(text: string): { word: string; rest: string }[] {
  const lines = text
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n');
  return lines
    .filter((line) => line.trim() !== '')
    .map((line) => ({ word: line.slice(0, line.indexOf(' ')), rest: line.slice(line.indexOf(' ') + 1) }));
}

/** @returns the text after this word in the stage that becomes the image. */
function inImage(word: string, of = instructions): string[] {
  const start = of.findLastIndex((instruction) => instruction.word === 'FROM');
  return of
    .slice(start)
    .filter((instruction) => instruction.word === word)
    .map(({ rest }) => rest);
}

/**
 * @returns the packages that the programs in the image import, directly or through other files of the
 * application.
 */
function packagesOfApplication(): Set<string> {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const waiting = ['main.ts', 'main-member.ts', 'main-coordinator.ts', 'main-log-check.ts'];
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (seen.has(file)) continue;
    seen.add(file);
    for (const { specifier, typesOnly } of importsIn(textOf(join('src', file)))) {
      if (typesOnly || specifier.startsWith('node:')) continue;
      if (specifier.startsWith('.')) waiting.push(join(dirname(file), specifier.replace(/\.js$/, '.ts')));
      else
        packages.add(
          specifier
            .split('/')
            .slice(0, specifier.startsWith('@') ? 2 : 1)
            .join('/'),
        );
    }
  }
  return packages;
}

const imageEnvironment = Object.fromEntries(
  inImage('ENV').flatMap((rest) => rest.split(' ').map((pair) => pair.split('=') as [string, string])),
);

describe('The Dockerfile', () => {
  it('passes its linter', () => {
    expect(lintDockerfile(ROOT, textOf('Dockerfile'))).toEqual([]);
  });

  it('has the Node that everything is tested with, in every stage', () => {
    const { devDependencies } = JSON.parse(textOf('package.json')) as { devDependencies: { node: string } };
    const images = instructions
      .filter(({ word }) => word === 'FROM')
      .map(({ rest }) => rest.split(/[ @]/)[0]);

    expect(images).toHaveLength(3);
    expect(new Set(images)).toEqual(new Set([`node:${devDependencies.node}-bookworm-slim`]));
    expect(process.versions.node.split('.')[0]).toBe(devDependencies.node.split('.')[0]);
  });

  it.each([
    ['Dockerfile', 'nestjs-dtc-shop'],
    ['samples/services/Dockerfile', 'nestjs-dtc-services'],
  ])('%s has labels: the version of the manifest, its licence, and its base', (path, title) => {
    const { version, license } = JSON.parse(textOf('package.json')) as Record<string, string>;
    const own = instructionsOf(textOf(path));
    const labels = Object.fromEntries(
      Array.from(
        inImage('LABEL', own)
          .join(' ')
          .matchAll(/org\.opencontainers\.image\.([\w.]+)="([^"]*)"/g),
        ([, key, value]) => [key!, value!],
      ),
    );
    const from = own.findLast(({ word }) => word === 'FROM')!.rest.split('@')[0];

    expect(labels).toMatchObject({ title, version, licenses: license, revision: '${REVISION}' });
    expect(labels['base.name']).toBe(`docker.io/library/${from}`);
    expect(inImage('ARG', own)).toEqual(['REVISION=unknown']);
  });

  it('takes the packages of the lock file, but none into the image that only the build needs', () => {
    const installed = instructions
      .filter(({ rest }) => /npm (ci|install)/.test(rest))
      .map(({ rest }) => rest);

    expect(installed).toEqual(['npm ci', 'npm ci --omit=dev --omit=optional']);
    expect(inImage('COPY')).toContain('--from=packages /app/node_modules node_modules');
  });

  it('copies enough for npm to install the packages, without the library of the workspace', () => {
    const copied = instructions.find(
      ({ word, rest }) => word === 'COPY' && rest.includes('package-lock.json'),
    )!;
    const folder = mkdtempSync(join(tmpdir(), 'image-'));
    try {
      for (const name of copied.rest.split(' ').slice(0, -1))
        copyFileSync(join(ROOT, name), join(folder, name));
      const options = { cwd: folder, encoding: 'utf8' } as const;
      const args = ['ci', '--omit=dev', '--omit=optional', '--dry-run', '--offline'];
      const { status, stdout } = spawnSync('npm', args, options);
      expect(status).toBe(0);
      const added = new Set(Array.from(stdout.matchAll(/^add (\S+) /gm), ([, name]) => name));
      expect([...packagesOfApplication()].filter((name) => !added.has(name))).toEqual([]);
      // Each of them is loaded by Nest when it is there, and none of them is used.
      expect(
        ['@nestjs/microservices', 'express', 'typeorm', 'typescript'].filter((name) => added.has(name)),
      ).toEqual([]);
      expect(stdout).not.toContain('nestjs-dtc');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('runs as a user without rights, who owns the data, and without a shell that would keep signals', () => {
    expect(inImage('USER')).toEqual(['node']);
    expect(inImage('RUN')).toContain('mkdir data && chown node:node data');
    expect(JSON.parse(inImage('CMD')[0]!)).toEqual(['node', 'dist/main.js']);
  });

  it('listens on the port that it exposes, and only with a token', () => {
    expect(imageEnvironment).toEqual({ NODE_ENV: 'production', HOST: '0.0.0.0', PORT: inImage('EXPOSE')[0] });
    expect(() => readConfiguration(imageEnvironment)).toThrow(/HOST: /);
  });

  it('keeps secrets, data and files of this machine out of the image', () => {
    const ignored = textOf('.dockerignore').split('\n');

    expect(ignored).toEqual(
      expect.arrayContaining(['.git', '**/node_modules', 'data', 'deploy', '**/.env*']),
    );
    expect(ignored.filter((line) => line.startsWith('!'))).toEqual([]);
  });

  it('copies no file that is kept out of the image', () => {
    const ignored = new Set(textOf('.dockerignore').split('\n'));
    const copied = instructions
      .filter(({ word, rest }) => word === 'COPY' && !rest.startsWith('--from'))
      .flatMap(({ rest }) => rest.split(' ').slice(0, -1));

    expect(copied).toContain('package-lock.json');
    expect(copied.filter((name) => ignored.has(name))).toEqual([]);
  });

  it('copies all that the build of the dashboard reads', () => {
    const ignored = new Set(textOf('.dockerignore').split('\n'));
    const isCopied = (path: string): boolean =>
      !ignored.has(relative(ROOT, path)) && !ignored.has(`**/${basename(path)}`);
    const folder = mkdtempSync(join(tmpdir(), 'context-'));
    try {
      for (const name of ['dashboard', 'docs', 'src', 'package.json', 'tsconfig.json'])
        cpSync(join(ROOT, name), join(folder, name), { recursive: true, filter: isCopied });
      symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'dir');
      const vite = join(folder, 'node_modules/vite/bin/vite.js');
      const { status, stderr } = spawnSync(process.execPath, [vite, 'build', 'dashboard'], {
        cwd: folder,
        encoding: 'utf8',
      });
      expect(stderr).toBe('');
      expect(status).toBe(0);
      expect(existsSync(join(folder, 'dist/dashboard/index.html'))).toBe(true);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    [200, 0],
    [503, 1],
    [undefined, 1],
  ])('has a health check that ends on an answer of %s with code %d', async (status, code) => {
    const asked: string[] = [];
    const server = createServer(({ url }, response) => {
      asked.push(url!);
      response.writeHead(status!).end();
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    if (status === undefined) await closed(server);

    const [, command] = /CMD (\[.*\])$/.exec(inImage('HEALTHCHECK')[0]!)!;
    const [program, ...args] = JSON.parse(command!) as string[];
    expect(program).toBe('node');
    const child = spawn(process.execPath, args, { env: { PORT: String(port) }, stdio: 'inherit' });

    expect((await once(child, 'exit'))[0]).toBe(code);
    expect(asked).toEqual(status === undefined ? [] : ['/health/live']);
    if (status !== undefined) await closed(server);
  });
});

function closed(server: ReturnType<typeof createServer>): Promise<unknown> {
  const end = once(server, 'close');
  server.close();
  return end;
}

describe('The compose file', () => {
  it('passes its linter', () => {
    const linter = new DCLinter({ rules: {}, quiet: false, debug: false, exclude: [] });
    const results = linter.lintFiles([join(ROOT, 'compose.yaml')], false);

    expect(results.flatMap(({ messages }: { messages: unknown[] }) => messages)).toEqual([]);
    expect(results).toHaveLength(1);
  });

  it('has the application, three databases of PostgreSQL, Prometheus and Grafana', () => {
    expect(databases.map(([name]) => name)).toEqual(['inventory-db', 'order-db', 'payment-db']);
    expect(services.map(([name]) => name).toSorted()).toEqual(
      ['app', 'grafana', 'prometheus', ...databases.map(([name]) => name)].toSorted(),
    );
  });

  it('has only images of one version', () => {
    const images = services.filter(([name]) => name !== 'app').map(([, { image }]) => image);

    expect(
      images.filter((image) => !/^[\w/]+:v?\d+\.\d+(\.\d+)?(-\w+)?(@sha256:[0-9a-f]{64})?$/.test(image!)),
    ).toEqual([]);
  });

  it('lets only this machine reach a port, and every port is its own', () => {
    const ports = services.flatMap(([, service]) => service.ports ?? []).map((port) => port.split(':'));

    expect(ports.length).toBeGreaterThan(0);
    expect(new Set(ports.map(([address]) => address))).toEqual(new Set(['127.0.0.1']));
    expect(new Set(ports.map(([, published]) => published)).size).toBe(ports.length);
    expect(databases.flatMap(([, service]) => service.ports ?? [])).toEqual([]);
  });

  it('sets no variable of the application that the application does not know', () => {
    const known = new Set([
      ...namesOf(variablesOf(applicationSchema, '')),
      ...namesOf(variablesOf(coordinatorOptionsSchema, 'DTC_')),
    ]);

    expect(Object.keys(app.environment!).filter((name) => !known.has(name))).toEqual([]);
  });

  it('mounts only files that exist', () => {
    const mounts = services.flatMap(([, { volumes = [] }]) => volumes.map((volume) => volume.split(':')[0]!));
    const missing = mounts.filter((source) =>
      source.startsWith('.') ? !existsSync(resolve(ROOT, source)) : !(source in compose.volumes),
    );

    expect(missing).toEqual([]);
    expect(new Set(Object.keys(compose.volumes))).toEqual(
      new Set(mounts.filter((source) => !source.startsWith('.'))),
    );
  });

  // Prometheus is told of its file in its own configuration.
  it.each(services.filter(([name]) => name !== 'prometheus'))(
    'gives %s the secrets whose files it is told of, and no others',
    (_, { environment = {}, secrets = [] }) => {
      const named = Object.values(environment).filter((value) => String(value).startsWith(SECRETS));

      expect(named.map((value) => String(value).slice(SECRETS.length)).toSorted()).toEqual(
        secrets.toSorted(),
      );
    },
  );

  it('has the secrets that its services use', () => {
    const used = services.flatMap(([, { secrets = [] }]) => secrets);

    expect(new Set(Object.keys(compose.secrets))).toEqual(new Set(used));
  });

  it('checks the health of every service, and starts none before the services that it needs are healthy', () => {
    const unchecked = services.filter(([, { healthcheck }]) => healthcheck?.test[0] !== 'CMD');

    expect(unchecked.map(([name]) => name)).toEqual(['app']);
    expect(inImage('HEALTHCHECK')).toHaveLength(1);
    expect(app.depends_on).toEqual(
      Object.fromEntries(databases.map(([name]) => [name, { condition: 'service_healthy' }])),
    );
  });

  it.each(databases)('gives %s room for every branch that may be prepared', (_, { command = [] }) => {
    const [, slots] = /max_prepared_transactions=(\d+)/.exec(command.join(' ')) ?? [];

    expect(Number(slots)).toBeGreaterThan(Number(app.environment!['DTC_MAX_IN_FLIGHT']));
  });

  it('has the names on which the configurations of Prometheus and Grafana rely', () => {
    const { scrape_configs: scrapes } = parse(textOf('deploy/prometheus/prometheus.yml')) as {
      scrape_configs: {
        authorization: { credentials_file: string };
        static_configs: { targets: string[] }[];
      }[];
    };
    const { datasources } = parse(textOf('deploy/grafana/provisioning/datasources/prometheus.yml')) as {
      datasources: { url: string }[];
    };
    const { providers } = parse(textOf('deploy/grafana/provisioning/dashboards/dashboards.yml')) as {
      providers: { options: { path: string } }[];
    };
    const { prometheus, grafana } = compose.services;

    expect(scrapes.map(({ authorization }) => authorization.credentials_file)).toEqual(
      prometheus!.secrets!.map((secret) => SECRETS + secret),
    );
    expect(scrapes[0]!.static_configs).toEqual([{ targets: [`app:${app.environment!['PORT']}`] }]);
    expect(prometheus!.volumes).toContain('./deploy/prometheus:/etc/prometheus:ro');
    expect(datasources.map(({ url }) => url)).toEqual([
      `http://prometheus:${prometheus!.ports![0]!.split(':')[2]}`,
    ]);
    expect(grafana!.volumes).toContain('./deploy/grafana/provisioning:/etc/grafana/provisioning:ro');
    expect(grafana!.volumes).toContain(`./deploy/grafana/dashboards:${providers[0]!.options.path}:ro`);
  });
});

describe('The secrets of the compose file', () => {
  let folder: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'secrets-'));
    makeSecrets();
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function makeSecrets(): void {
    const { status, stderr } = spawnSync('sh', [join(ROOT, 'deploy/make-secrets.sh'), folder], {
      encoding: 'utf8',
    });
    expect(stderr).toBe('');
    expect(status).toBe(0);
  }

  function secret(name: string): string {
    return readFileSync(join(folder, name), 'utf8').trim();
  }

  /**
   * @returns the environment of the application in its container, with its secrets in a folder of this
   * machine.
   */
  function inContainer(secrets: string, suffix = ''): Configuration {
    const told = Object.entries(app.environment!).map(([name, value]) => {
      const text = String(value);
      return [name, text.startsWith(SECRETS) ? join(secrets, text.slice(SECRETS.length) + suffix) : text];
    });
    return readConfiguration({ ...imageEnvironment, ...(Object.fromEntries(told) as NodeJS.ProcessEnv) });
  }

  it('are all made by the script, once, and are different ones each', () => {
    const all = ['compose.yaml', 'compose.members.yaml', 'compose.services.yaml'].map(
      (file) => parse(textOf(file), { merge: true }) as Compose,
    );
    const names = [...new Set(all.flatMap(({ secrets }) => Object.keys(secrets)))].toSorted();
    expect(readdirSync(folder).toSorted()).toEqual(names);
    const made = names.map(secret);
    expect(new Set(made).size).toBe(made.length);

    makeSecrets();
    expect(names.map(secret)).toEqual(made);
  });

  it('are settings with which the application starts, and fit its databases and Prometheus', () => {
    const { host, port, access, databases: urls, coordinator } = inContainer(folder);

    expect(host).toBe('0.0.0.0');
    expect(app.ports).toEqual([`127.0.0.1:${port}:${inImage('EXPOSE')[0]}`]);
    expect(coordinator.name).toBe('shop');
    expect(access.operators).toHaveLength(1);
    expect(access.readers).toEqual([{ name: 'prometheus', token: secret('prometheus-token') }]);
    for (const [participant, text] of Object.entries(urls!)) {
      const { username, password, hostname, pathname } = new URL(text);
      const { environment } = compose.services[hostname]!;
      expect(hostname).toBe(`${participant}-db`);
      expect(environment).toMatchObject({ POSTGRES_USER: username, POSTGRES_DB: pathname.slice(1) });
      expect(environment!['POSTGRES_PASSWORD_FILE']).toBe(`${SECRETS}${participant}-database-password`);
      expect(password).toBe(secret(`${participant}-database-password`));
    }
  });

  it('leave decisions on a volume, and time to drain', () => {
    const { decisionLog, coordinator } = inContainer(folder);
    const path = decisionLog.kind === 'sqlite' ? resolve(inImage('WORKDIR')[0]!, decisionLog.path) : '';
    const [, target] = app.volumes![0]!.split(':');

    expect(path.startsWith(`${target}/`)).toBe(true);
    expect(inImage('VOLUME')).toEqual([target]);
    expect(parseInt(app.stop_grace_period!, 10) * 1_000).toBeGreaterThan(coordinator.shutdownGraceMs);
  });

  it('have examples that cannot start unchanged, since there is no default secret', () => {
    const folder = join(ROOT, 'deploy/secrets');
    const examples = readdirSync(folder).filter((name) => name.endsWith('.example'));

    expect(examples).toHaveLength(7);
    expect(() => inContainer(folder, '.example')).toThrow(
      /READER_TOKENS_FILE: .*OPERATOR_TOKENS_FILE: .*ORDER_DATABASE_URL_FILE: .*INVENTORY.*PAYMENT/,
    );
  });

  it('are never committed', () => {
    expect(textOf('deploy/secrets/.gitignore').trim().split('\n')).toEqual([
      '*',
      '!.gitignore',
      '!*.example',
    ]);
  });
});

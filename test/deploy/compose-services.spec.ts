import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DCLinter } from 'dclint';
import { run as lintDockerfile } from 'dockerfilelint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { gatewaySettings, participantSettings } from '../../samples/services/common/settings.js';
import {
  type CoordinatorConfiguration,
  readCoordinatorConfiguration,
} from '../../src/coordinator-configuration.js';

const ROOT = join(import.meta.dirname, '../..');
const FILE = join(ROOT, 'compose.services.yaml');
const SECRETS = '/run/secrets';
const SERVICES = ['gateway', 'inventory', 'order', 'payment'];
const PARTICIPANTS = ['inventory', 'order', 'payment'];

interface Service {
  readonly image?: string;
  readonly build?: { readonly context: string; readonly dockerfile?: string };
  readonly command?: readonly string[];
  readonly environment: Readonly<Record<string, string | number>>;
  readonly secrets: readonly (string | { readonly source: string; readonly target: string })[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly read_only?: boolean;
  readonly stop_grace_period: string;
}

const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const compose = parse(readFileSync(FILE, 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: object;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};
const services = Object.entries(compose.services);
const databases = services.filter(([, { image }]) => image?.startsWith('postgres:'));
const coordinators = services.filter(([name]) => name.startsWith('coordinator-'));

/** @returns the name of the file in the container, and of the secret that it has. */
function mountsOf({ secrets }: Service): Record<string, string> {
  return Object.fromEntries(
    secrets.map((secret) => (typeof secret === 'string' ? [secret, secret] : [secret.target, secret.source])),
  );
}

describe('The compose file of the services', () => {
  let folder: string;
  let configurations: readonly CoordinatorConfiguration[];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'secrets-'));
    expect(spawnSync('sh', [join(ROOT, 'deploy/make-secrets.sh'), folder]).status).toBe(0);
    configurations = coordinators.map(([, service]) => readCoordinatorConfiguration(environmentOf(service)));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const secret = (name: string): string => readFileSync(join(folder, name), 'utf8').trim();

  /** @returns the environment of a program in its container, with its secrets in a folder of this machine. */
  function environmentOf(service: Service): Record<string, string> {
    const mounts = mountsOf(service);
    const told = Object.entries(service.environment).map(([name, value]) => {
      const file = String(value).startsWith(`${SECRETS}/`)
        ? String(value).slice(SECRETS.length + 1)
        : undefined;
      if (file !== undefined) expect(Object.keys(mounts)).toContain(file);
      return [name, file === undefined ? String(value) : join(folder, mounts[file]!)];
    });
    return Object.fromEntries(told) as Record<string, string>;
  }

  /** @returns the token that a service finds in a file of its folder. */
  function tokenOf(name: string, file: string): string {
    const service = compose.services[name]!;
    expect(service.environment['TOKENS']).toBe(SECRETS);
    return secret(mountsOf(service)[file]!);
  }

  it('passes its linters', () => {
    const linter = new DCLinter({ rules: {}, quiet: false, debug: false, exclude: [] });
    const results = linter.lintFiles([FILE], false);
    expect(results.flatMap(({ messages }: { messages: unknown[] }) => messages)).toEqual([]);
    expect(results).toHaveLength(1);
    expect(lintDockerfile(ROOT, textOf('samples/services/Dockerfile'))).toEqual([]);
  });

  it('has four services, two coordinators and four databases, with a volume for each database only', () => {
    expect(services.map(([name]) => name)).toEqual(
      [...coordinators, ...databases]
        .map(([name]) => name)
        .concat(SERVICES)
        .toSorted(),
    );
    expect(databases).toHaveLength(4);
    expect(databases.map(([, { volumes = [] }]) => volumes[0]!.split(':')[0])).toEqual(
      Object.keys(compose.volumes),
    );
    for (const [name, service] of services.filter(([, { image }]) => image === undefined)) {
      expect([name, service.read_only, service.volumes]).toEqual([name, true, undefined]);
      const [program, file] = service.command!;
      expect(program).toBe('node');
      const source = file!.replace(/^(build|dist)\//, (_, root) => (root === 'dist' ? 'src/' : ''));
      expect(existsSync(join(ROOT, source.replace(/\.js$/, '.ts')))).toBe(true);
      expect(service.build!.dockerfile).toBe(
        SERVICES.includes(name) ? 'samples/services/Dockerfile' : undefined,
      );
    }
  });

  it('has coordinators of one log, with a name and an address each', () => {
    expect(configurations.map(({ coordinator }) => coordinator.memberAddress)).toEqual(
      coordinators.map(([name]) => `http://${name}:3000`),
    );
    expect(new Set(configurations.map(({ coordinator: { name } }) => name))).toEqual(new Set(['shop']));
    for (const { decisionLog } of configurations) expect(decisionLog.kind).toBe('postgres');
    const sizes = databases.map(([, { command = [] }]) =>
      Number(/transactions=(\d+)/.exec(command.join())![1]),
    );
    const inFlight = configurations.reduce((sum, { coordinator }) => sum + coordinator.maxInFlight, 0);
    expect(Math.min(...sizes)).toBeGreaterThan(inFlight);
  });

  it('tells each service where the others are, and gives it its own database', () => {
    const addresses = coordinators.map(([, { environment }]) => environment['DTC_MEMBER_ADDRESS']);
    const gateway = gatewaySettings(environmentOf(compose.services['gateway']!));
    expect(gateway.COORDINATORS).toEqual(addresses);
    expect(gateway.ORDER_SERVICE).toBe(compose.services['order']!.environment['ADDRESS']);
    const origins = String(coordinators[0]![1].environment['PARTICIPANT_ORIGINS']).split(',');
    for (const name of PARTICIPANTS) {
      const service = compose.services[name]!;
      const settings = participantSettings(environmentOf(service));
      expect([settings.COORDINATORS, settings.ADDRESS]).toEqual([
        addresses,
        `http://${name}:${settings.PORT}`,
      ]);
      expect(origins).toContain(settings.ADDRESS);
      const { hostname, username, password, pathname } = new URL(settings.DATABASE_URL);
      expect([hostname, Object.keys(service.depends_on!)]).toEqual([`${name}-db`, [`${name}-db`]]);
      expect(password).toBe(secret(`${name}-database-password`));
      expect(compose.services[hostname]!.environment).toMatchObject({
        POSTGRES_USER: username,
        POSTGRES_DB: pathname.slice(1),
      });
    }
    expect(origins).toHaveLength(PARTICIPANTS.length);
  });

  it('gives every hop a token that its other end knows', () => {
    const pairs = (file: string): string[] => secret(file).split('\n');
    expect(pairs('caller-tokens')).toEqual(
      ['gateway', 'order'].map((name) => `${name}:${tokenOf(name, 'caller')}`),
    );
    expect(pairs('participant-tokens').toSorted()).toEqual(
      PARTICIPANTS.map((name) => `${name}:${tokenOf(name, 'participant')}`),
    );
    for (const name of PARTICIPANTS) expect(tokenOf(name, 'coordinator')).toBe(secret('coordinator-token'));
    expect(tokenOf('gateway', 'carrier')).toBe(tokenOf('order', 'carrier'));
    const used = services.flatMap(([, service]) => Object.values(mountsOf(service)));
    expect(new Set(used)).toEqual(new Set(Object.keys(compose.secrets)));
  });

  it('publishes the ports that the page names, to this machine only, and gives time to drain', () => {
    const published = Object.fromEntries(
      services.flatMap(([name, { ports = [] }]) => (ports[0] ? [[name, ports[0]]] : [])),
    );
    const names = ['gateway', 'order', 'inventory', 'payment', 'coordinator-1', 'coordinator-2'];
    expect(published).toEqual(
      Object.fromEntries(names.map((name, index) => [name, `127.0.0.1:${3_000 + index}:3000`])),
    );
    for (const [, { stop_grace_period: grace }] of coordinators)
      expect(parseInt(grace, 10) * 1_000).toBeGreaterThan(configurations[0]!.coordinator.shutdownGraceMs);
  });

  it('copies no file into the image that belongs to this machine', () => {
    const ignored = textOf('samples/services/Dockerfile.dockerignore').split('\n');
    expect(ignored).toEqual(
      expect.arrayContaining(['.git', '**/node_modules', 'data', 'deploy', '**/.env*']),
    );
    for (const needed of ['src', 'samples', 'packages', 'scripts']) expect(ignored).not.toContain(needed);
  });
});

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DCLinter } from 'dclint';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { type Configuration, readConfiguration } from '../../src/configuration.js';
import { postgresSettingsSchema } from '../../src/postgres/options.js';

const ROOT = join(import.meta.dirname, '../..');
const FILE = join(ROOT, 'compose.members.yaml');
const SECRETS = '/run/secrets/';
/** Beside those of the participant: for reads over HTTP, and for the claim. */
const MORE_CONNECTIONS = 4 + 1;

interface Service {
  readonly image?: string;
  readonly command?: readonly string[];
  readonly environment: Readonly<Record<string, string | number>>;
  readonly secrets: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly read_only?: boolean;
  readonly stop_grace_period: string;
}

const compose = parse(readFileSync(FILE, 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: object;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
};
const services = Object.entries(compose.services);
const members = services.filter(([name]) => name.startsWith('member-'));
const databases = services.filter(([, { image }]) => image?.startsWith('postgres:'));

/** @returns the value of a setting of a database server. */
function settingOf({ command = [] }: Service, name: string): number {
  return Number(new RegExp(`${name}=(\\d+)`).exec(command.join(' '))?.[1]);
}

describe('The compose file of three members', () => {
  let folder: string;
  let configurations: readonly Configuration[];

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'secrets-'));
    const { status } = spawnSync('sh', [join(ROOT, 'deploy/make-secrets.sh'), folder]);
    expect(status).toBe(0);
    configurations = members.map(([, { environment }]) =>
      readConfiguration(
        Object.fromEntries(
          Object.entries(environment).map(([name, value]) => [
            name,
            String(value).replace(SECRETS, `${folder}/`),
          ]),
        ),
      ),
    );
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('passes its linter', () => {
    const results = new DCLinter({ rules: {}, quiet: false, debug: false, exclude: [] }).lintFiles(
      [FILE],
      false,
    );

    expect(results.flatMap(({ messages }: { messages: unknown[] }) => messages)).toEqual([]);
    expect(results).toHaveLength(1);
  });

  it('has three members and four databases, and a volume for each database only', () => {
    expect(members.map(([name]) => name)).toEqual(['member-1', 'member-2', 'member-3']);
    expect(databases.map(([name]) => name)).toEqual([
      'decision-log-db',
      'inventory-db',
      'order-db',
      'payment-db',
    ]);
    expect(services).toHaveLength(members.length + databases.length);
    expect(members.flatMap(([, { volumes = [] }]) => volumes)).toEqual([]);
    expect(members.every(([, { read_only: isReadOnly }]) => isReadOnly)).toBe(true);
    expect(databases.map(([, { volumes = [] }]) => volumes[0]!.split(':')[0])).toEqual(
      Object.keys(compose.volumes),
    );
  });

  it('has members of one coordinator and one log, each with its name, its address and its port', () => {
    const coordinators = configurations.map(({ coordinator }) => coordinator);

    expect(new Set(coordinators.map(({ name }) => name))).toEqual(new Set(['shop']));
    expect(coordinators.map(({ memberName }) => memberName)).toEqual(members.map(([name]) => name));
    expect(coordinators.map(({ memberAddress }) => memberAddress)).toEqual(
      members.map(([name], index) => `http://${name}:${configurations[index]!.port}`),
    );
    const [{ decisionLog }, ...others] = configurations as [Configuration, ...Configuration[]];
    expect(decisionLog).toMatchObject({ kind: 'postgres' });
    expect(others.filter((other) => other.decisionLog.kind !== 'postgres')).toEqual([]);
    expect(new Set(members.map(([, { environment }]) => environment['DECISION_LOG_URL_FILE'])).size).toBe(1);
    expect(members.map(([, { ports }]) => ports)).toEqual(
      [3000, 3001, 3002].map((port) => [`127.0.0.1:${port}:3000`]),
    );
  });

  it('has the databases that its secrets name, and the secrets that its services use', () => {
    const { databases: urls, decisionLog } = configurations[0]!;
    const named = [...Object.values(urls!), decisionLog.kind === 'postgres' ? decisionLog.url : ''];
    for (const text of named) {
      const { hostname, username, pathname } = new URL(text);
      expect(compose.services[hostname]!.environment).toMatchObject({
        POSTGRES_USER: username,
        POSTGRES_DB: pathname.slice(1),
      });
    }
    expect(named.map((text) => new URL(text).hostname).toSorted()).toEqual(databases.map(([name]) => name));
    expect(new Set(services.flatMap(([, { secrets }]) => secrets))).toEqual(
      new Set(Object.keys(compose.secrets)),
    );
    for (const [, { environment, secrets }] of services) {
      const files = Object.values(environment).filter((value) => String(value).startsWith(SECRETS));
      expect(files.map((value) => String(value).slice(SECRETS.length)).toSorted()).toEqual(
        secrets.toSorted(),
      );
    }
  });

  it('starts members after the databases, and gives them time to drain', () => {
    for (const [, { depends_on: needs, stop_grace_period: grace }] of members) {
      expect(Object.keys(needs!)).toEqual(databases.map(([name]) => name));
      expect(Object.values(needs!).every(({ condition }) => condition === 'service_healthy')).toBe(true);
      const { shutdownGraceMs } = configurations[0]!.coordinator;
      expect(parseInt(grace, 10) * 1_000).toBeGreaterThan(2 * shutdownGraceMs);
    }
  });

  it.each(databases)(
    'gives %s slots and connections for the members, and one more during an update',
    (_, service) => {
      const { workConnections, completionConnections } = postgresSettingsSchema.parse({});
      const { maxInFlight } = configurations[0]!.coordinator;
      const perMember = workConnections + completionConnections + MORE_CONNECTIONS;

      expect(settingOf(service, 'max_prepared_transactions')).toBeGreaterThan(members.length * maxInFlight);
      expect(settingOf(service, 'max_connections')).toBeGreaterThan((members.length + 1) * perMember);
    },
  );
});

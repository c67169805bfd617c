import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { namesOf, variablesOf } from '../../src/common/config/environment.js';
import { applicationSchema, readConfiguration } from '../../src/configuration.js';
import { coordinatorOptionsSchema } from '../../src/coordinator/coordinator.options.js';

const ROOT = join(import.meta.dirname, '../..');
const FOLDER = join(ROOT, 'deploy/kubernetes');
const RULE = 'prometheus-rule.yaml';

/**
 * The models of Kubernetes and of the operator of Prometheus, by kind: their classes carry the schemas, their
 * types the fields.
 */
const MODELS: Readonly<Record<string, string>> = {
  Deployment: 'kubernetes-models/apps/v1',
  PodDisruptionBudget: 'kubernetes-models/policy/v1',
  PodMonitor: '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
  PrometheusRule: '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1',
  Service: 'kubernetes-models/v1',
};

type Labels = Readonly<Record<string, string>>;

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Labels };
  readonly spec: unknown;
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
  readonly periodSeconds: number;
  readonly failureThreshold?: number;
}

interface DeploymentSpec {
  readonly replicas: number;
  readonly minReadySeconds: number;
  readonly selector: { readonly matchLabels: Labels };
  readonly strategy: {
    readonly rollingUpdate: { readonly maxSurge: number; readonly maxUnavailable: number };
  };
  readonly template: { readonly metadata: { readonly labels: Labels }; readonly spec: PodSpec };
}

interface PodSpec {
  readonly enableServiceLinks: boolean;
  readonly automountServiceAccountToken: boolean;
  readonly terminationGracePeriodSeconds: number;
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly containers: readonly Container[];
  readonly volumes: readonly {
    readonly name: string;
    readonly secret?: {
      readonly secretName: string;
      readonly items: readonly { readonly key: string; readonly path: string }[];
    };
  }[];
}

interface Container {
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly env: readonly {
    readonly name: string;
    readonly value?: string;
    readonly valueFrom?: { readonly fieldRef: { readonly fieldPath: string } };
  }[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly volumeMounts: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
  }[];
}

const textOf = (file: string): string => readFileSync(join(FOLDER, file), 'utf8');
const manifestIn = (file: string): Manifest => parse(textOf(file)) as Manifest;
const files = readdirSync(FOLDER)
  .filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml')
  .toSorted();

const deployment = manifestIn('deployment.yaml').spec as DeploymentSpec;
const pod = deployment.template.spec;
const container = pod.containers[0]!;
const valueOf = (variable: string): string | undefined =>
  container.env.find(({ name }) => name === variable)?.value;

/**
 * The rules of Prometheus, as its operator takes them. `UPDATE_DOCS=1 npx vitest run
 * test/deploy/kubernetes.spec.ts` writes them.
 */
function ruleOf(alerts: string): string {
  const { groups } = parse(alerts) as { groups: unknown };
  const rule = {
    apiVersion: 'monitoring.coreos.com/v1',
    kind: 'PrometheusRule',
    metadata: { name: 'shop', labels: { 'app.kubernetes.io/name': 'shop' } },
    spec: { groups },
  };
  const origin =
    '# Made from deploy/prometheus/alerts.yml, which says what the rules are for. Change them there.\n';
  return origin + stringify(rule, { lineWidth: 110, singleQuote: true });
}

/** @returns an instance of the model, which can check itself against its schema. */
async function modelOf(manifest: Manifest): Promise<{ validate: () => void }> {
  const module = (await import(MODELS[manifest.kind]!)) as Readonly<
    Record<string, new (data: unknown) => { validate: () => void }>
  >;
  return new module[manifest.kind]!(manifest);
}

/**
 * @returns the complaints of the types of the models about manifests: fields that do not exist, which the
 * schemas allow.
 */
function wrongFieldsIn(manifests: readonly Manifest[]): string[] {
  const name = join(ROOT, 'manifests.ts');
  const lines = manifests.flatMap((manifest, index) => [
    `import type { I${manifest.kind} as I${index} } from '${MODELS[manifest.kind]}/${manifest.kind}';`,
    `export const manifest${index}: I${index} = ${JSON.stringify(manifest)};`,
  ]);
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    lib: ['lib.es5.d.ts'],
    types: [],
  };
  const host = ts.createCompilerHost(options);
  const [read, exists] = [host.getSourceFile.bind(host), host.fileExists.bind(host)];
  host.getSourceFile = (file, target) =>
    file === name ? ts.createSourceFile(file, lines.join('\n'), target) : read(file, target);
  host.fileExists = (file) => file === name || exists(file);
  const program = ts.createProgram([name], options, host);
  return program
    .getSemanticDiagnostics(program.getSourceFile(name))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' '));
}

describe('The manifests for Kubernetes', () => {
  beforeAll(() => {
    if (process.env['UPDATE_DOCS'] === undefined) return;
    writeFileSync(
      join(FOLDER, RULE),
      ruleOf(readFileSync(join(ROOT, 'deploy/prometheus/alerts.yml'), 'utf8')),
    );
  });

  it('are all in the kustomization, and have one name and one label', () => {
    const { resources } = parse(textOf('kustomization.yaml')) as { resources: string[] };

    expect(resources).toEqual(files);
    expect(files.map((file) => manifestIn(file).kind).toSorted()).toEqual(Object.keys(MODELS));
    for (const file of files) {
      expect(manifestIn(file).metadata).toEqual({
        name: 'shop',
        labels: { 'app.kubernetes.io/name': 'shop' },
      });
    }
  });

  it.each(files)('%s fits the schema of its kind', async (file) => {
    const model = await modelOf(manifestIn(file));

    expect(() => model.validate()).not.toThrow();
  });

  it('are told by the schemas when a value has the wrong form', async () => {
    const broken = manifestIn('pod-monitor.yaml');
    Object.assign(broken.spec as object, { podMetricsEndpoints: [{ port: 'http', interval: '15 seconds' }] });
    const model = await modelOf(broken);

    expect(() => model.validate()).toThrow(/podMetricsEndpoints\/0\/interval must match pattern/);
  });

  it('have no field that their kinds do not have', () => {
    const misspelt = manifestIn('deployment.yaml');
    Object.assign((misspelt.spec as DeploymentSpec).template.spec.containers[0]!, { livenessProb: {} });

    expect(wrongFieldsIn([...files.map(manifestIn), misspelt])).toEqual([
      expect.stringContaining(`'"livenessProb"' does not exist in type 'IContainer'`),
    ]);
  });

  it('have the rules of Prometheus, which are written once', () => {
    expect(textOf(RULE)).toBe(ruleOf(readFileSync(join(ROOT, 'deploy/prometheus/alerts.yml'), 'utf8')));
  });
});

describe('The Deployment', () => {
  it('has three members, and takes away none before another one is ready', () => {
    expect(deployment.replicas).toBe(3);
    expect(deployment.strategy.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 });
    expect(deployment.minReadySeconds * 1_000).toBeGreaterThanOrEqual(Number(valueOf('DTC_LEASE_MS')));
  });

  it('sets only variables that the application knows', () => {
    const known = new Set([
      ...namesOf(variablesOf(applicationSchema, '')),
      ...namesOf(variablesOf(coordinatorOptionsSchema, 'DTC_')),
      // It becomes part of the address of the member.
      'POD_IP',
    ]);

    expect(container.env.map(({ name }) => name).filter((name) => !known.has(name))).toEqual([]);
  });

  it('gives all members one name, and each a name and an address of its own', () => {
    const environment = Object.fromEntries(
      container.env
        .filter(({ name }) => !name.endsWith('_FILE'))
        .map(({ name, value = '' }) => [name, value]),
    );
    const origin = (variable: string): string | undefined =>
      container.env.find(({ name }) => name === variable)?.valueFrom?.fieldRef.fieldPath;
    const { coordinator, decisionLog, port } = readConfiguration({
      ...environment,
      DTC_MEMBER_ADDRESS: environment['DTC_MEMBER_ADDRESS']!.replace('$(POD_IP)', '10.1.2.3'),
      DECISION_LOG_URL: 'postgres://log.example/decisions',
      OPERATOR_TOKENS: `alice:${'x'.repeat(32)}`,
      MEMBER_TOKENS: 'y'.repeat(32),
    });

    expect(decisionLog.kind).toBe('postgres');
    expect(coordinator.name).toBe('shop');
    expect(coordinator.memberAddress).toBe(`http://10.1.2.3:${port}`);
    expect(origin('DTC_MEMBER_NAME')).toBe('metadata.name');
    expect(origin('POD_IP')).toBe('status.podIP');
    // A variable is put into others only if it stands before them.
    const names = container.env.map(({ name }) => name);
    expect(names.indexOf('POD_IP')).toBeLessThan(names.indexOf('DTC_MEMBER_ADDRESS'));
  });

  it('has the time to drain after preStop, and the defaults of the coordinator', () => {
    const defaults = coordinatorOptionsSchema.parse({});
    const [command, seconds] = container.lifecycle.preStop.exec.command;
    const graceMs = Number(valueOf('DTC_SHUTDOWN_GRACE_MS'));

    expect(command).toBe('sleep');
    expect(graceMs).toBe(defaults.shutdownGraceMs);
    expect(Number(valueOf('DTC_LEASE_MS'))).toBe(defaults.leaseMs);
    expect(pod.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(Number(seconds) * 1_000 + 2 * graceMs);
  });

  it('is asked for its health on the port of the application', () => {
    const { startupProbe, livenessProbe, readinessProbe, ports } = container;
    const probes = [startupProbe, livenessProbe, readinessProbe];

    expect(probes.map(({ httpGet }) => httpGet.path)).toEqual([
      '/health/live',
      '/health/live',
      '/health/ready',
    ]);
    expect(new Set(probes.map(({ httpGet }) => httpGet.port))).toEqual(new Set([ports[0]!.name]));
    expect(String(ports[0]!.containerPort)).toBe(valueOf('PORT'));
    // Longer than the start checks of all databases may take.
    expect(startupProbe.periodSeconds * startupProbe.failureThreshold!).toBeGreaterThanOrEqual(60);
  });

  it('runs without rights, and writes no file', () => {
    const [user] = /^USER (\S+)$/m.exec(readFileSync(join(ROOT, 'Dockerfile'), 'utf8'))!;

    expect(user).toBe('USER node');
    expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 });
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    });
    expect(container.volumeMounts.filter(({ readOnly }) => readOnly !== true)).toEqual([]);
    expect([pod.automountServiceAccountToken, pod.enableServiceLinks]).toEqual([false, false]);
  });

  it('takes each secret that it names from the Secret, and has none in its own text', () => {
    const { secret } = pod.volumes.find(({ name }) => name === container.volumeMounts[0]!.name)!;
    const { mountPath } = container.volumeMounts[0]!;
    const named = container.env.flatMap(({ value = '' }) =>
      value.startsWith(`${mountPath}/`) ? [value.slice(mountPath.length + 1)] : [],
    );
    const secrets = new Set(
      [...variablesOf(applicationSchema, ''), ...variablesOf(coordinatorOptionsSchema, 'DTC_')]
        .filter(({ isSecret }) => isSecret)
        .map(({ name }) => name),
    );

    expect(named.toSorted()).toEqual(secret!.items.map(({ path }) => path).toSorted());
    expect(secret!.items.filter(({ key, path }) => key !== path)).toEqual([]);
    expect(container.env.filter(({ name }) => secrets.has(name))).toEqual([]);
    // The page says how to make the Secret.
    const page = readFileSync(join(ROOT, 'docs/members.md'), 'utf8');
    const made = Array.from(page.matchAll(/--from-file=([\w-]+)=/g), ([, key]) => key!);
    expect(made.toSorted()).toEqual([...named, 'prometheus-token'].toSorted());
  });
});

describe('The objects around the Deployment', () => {
  const { matchLabels } = deployment.selector;
  const { labels } = deployment.template.metadata;

  it('selects its pods', () => {
    const service = manifestIn('service.yaml').spec as { selector: Labels; ports: { targetPort: string }[] };
    const budget = manifestIn('pod-disruption-budget.yaml').spec as {
      selector: { matchLabels: Labels };
      maxUnavailable: number;
    };
    const monitor = manifestIn('pod-monitor.yaml').spec as { selector: { matchLabels: Labels } };

    for (const selector of [service.selector, budget.selector.matchLabels, monitor.selector.matchLabels]) {
      expect(selector).toEqual(matchLabels);
    }
    expect(labels).toMatchObject(matchLabels);
    expect(service.ports[0]!.targetPort).toBe(container.ports[0]!.name);
    expect(budget.maxUnavailable).toBe(1);
  });

  it('scrapes each member as the job that the rules ask for, with the token of a reader', () => {
    const { jobLabel, podMetricsEndpoints } = manifestIn('pod-monitor.yaml').spec as {
      jobLabel: string;
      podMetricsEndpoints: { port: string; path: string; authorization: { credentials: object } }[];
    };
    const jobs = Array.from(textOf(RULE).matchAll(/job="(\w+)"/g), ([, job]) => job);

    expect(new Set(jobs)).toEqual(new Set([labels[jobLabel]]));
    expect(podMetricsEndpoints).toMatchObject([
      { port: container.ports[0]!.name, path: '/metrics', authorization: { credentials: { name: 'shop' } } },
    ]);
  });
});

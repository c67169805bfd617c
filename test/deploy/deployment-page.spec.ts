import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { namesOf, variablesOf } from '../../src/common/config/environment.js';
import { applicationSchema } from '../../src/configuration.js';
import { coordinatorOptionsSchema } from '../../src/coordinator/coordinator.options.js';

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
}

interface StatefulSet {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly replicas: number;
    readonly volumeClaimTemplates: readonly { readonly metadata: { readonly name: string } }[];
    readonly template: {
      readonly spec: {
        readonly enableServiceLinks: boolean;
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly Container[];
      };
    };
  };
}

interface Container {
  readonly ports: readonly { readonly name: string; readonly containerPort: number }[];
  readonly env: readonly { readonly name: string; readonly value?: string }[];
  readonly startupProbe: Probe;
  readonly livenessProbe: Probe;
  readonly readinessProbe: Probe;
  readonly lifecycle: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}

const page = readFileSync(join(import.meta.dirname, '../../docs/deployment.md'), 'utf8');
const [, yaml = ''] = /^```yaml\n(.*?)^```$/ms.exec(page) ?? [];
const { kind, metadata, spec } = parse(yaml) as StatefulSet;
const pod = spec.template.spec;
const container = pod.containers[0]!;
const valueOf = (variable: string): string | undefined =>
  container.env.find(({ name }) => name === variable)?.value;

describe('the StatefulSet in docs/deployment.md', () => {
  it('is one replica with a volume of its own, as the embedded log belongs to one process', () => {
    expect(kind).toBe('StatefulSet');
    expect(spec.replicas).toBe(1);
    const [claim] = spec.volumeClaimTemplates;
    const mount = container.volumeMounts.find(({ name }) => name === claim!.metadata.name);
    expect(valueOf('DECISION_LOG_PATH')!.startsWith(`${mount!.mountPath}/`)).toBe(true);
  });

  it('sets only variables that the application knows, and the name from the pod', () => {
    const known = new Set([
      ...namesOf(variablesOf(applicationSchema, '')),
      ...namesOf(variablesOf(coordinatorOptionsSchema, 'DTC_')),
    ]);
    const given = container.env.map(({ name }) => name);

    expect(given.filter((name) => !known.has(name))).toEqual([]);
    expect(given).toContain('DTC_NAME');
    expect(coordinatorOptionsSchema.shape.name.safeParse(`${metadata.name}-0`).success).toBe(true);
    expect(pod.enableServiceLinks).toBe(false);
  });

  it('leaves time to drain and to close the log after preStop', () => {
    const [command, seconds] = container.lifecycle.preStop.exec.command;
    const graceMs = Number(valueOf('DTC_SHUTDOWN_GRACE_MS'));

    expect(command).toBe('sleep');
    expect(graceMs).toBe(coordinatorOptionsSchema.parse({}).shutdownGraceMs);
    expect(pod.terminationGracePeriodSeconds * 1_000).toBeGreaterThan(Number(seconds) * 1_000 + 2 * graceMs);
  });

  it('asks the health routes on the port of the application', () => {
    const { startupProbe, livenessProbe, readinessProbe, ports } = container;

    expect([startupProbe, livenessProbe, readinessProbe].map(({ httpGet }) => httpGet.path)).toEqual([
      '/health/live',
      '/health/live',
      '/health/ready',
    ]);
    expect(String(ports[0]!.containerPort)).toBe(valueOf('PORT'));
    expect(
      [startupProbe, livenessProbe, readinessProbe].every(({ httpGet }) => httpGet.port === ports[0]!.name),
    ).toBe(true);
  });
});

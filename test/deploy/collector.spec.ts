import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

const FILE = join(import.meta.dirname, '../../samples/telemetry/collector.yaml');

type Components = Readonly<Record<string, unknown>>;

interface Collector {
  readonly receivers: Components;
  readonly processors: Components;
  readonly exporters: Components;
  readonly service: {
    readonly pipelines: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
  };
}

describe('The configuration of the collector', () => {
  const { service, ...components } = parse(readFileSync(FILE, 'utf8')) as Collector;

  it('takes the spans of the sample, over OTLP/HTTP', () => {
    expect(components.receivers).toEqual({ otlp: { protocols: { http: { endpoint: '0.0.0.0:4318' } } } });
  });

  it('uses each component that it has, and no other, and limits its memory first', () => {
    expect(Object.keys(service.pipelines)).toEqual(['traces']);
    const traces = service.pipelines['traces']!;
    for (const kind of ['receivers', 'processors', 'exporters'] as const)
      expect(traces[kind]).toEqual(Object.keys(components[kind]));
    expect(traces['processors']![0]).toBe('memory_limiter');
  });
});

import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { FlushStatistics } from '../../src/coordinator/index.js';
import { Scrape, createMeasured } from '../../src/operations/metrics/metrics.fixture.js';
import { METRICS } from '../../src/coordinator/observation/metrics/index.js';
import { OUTBOX_METRICS } from '../../src/outbox/metrics.js';
import { ScriptedLog } from '../faults/scripted-log.js';

const root = join(import.meta.dirname, '../..');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly {
    readonly expr: string;
    readonly legendFormat: string;
    readonly datasource: Source;
  }[];
}

interface Source {
  readonly type: string;
  readonly uid: string;
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly type: string }[] };
}

const textOf = (file: string): string => readFileSync(join(root, file), 'utf8');
const { groups } = parse(textOf('deploy/prometheus/alerts.yml')) as {
  groups: { readonly rules: readonly Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);
const dashboards = readdirSync(join(root, 'deploy/grafana/dashboards')).map((file): [string, Dashboard] => [
  file,
  JSON.parse(textOf(`deploy/grafana/dashboards/${file}`)) as Dashboard,
]);
const panels = dashboards.flatMap(([, dashboard]) => dashboard.panels);

/** The labels that Prometheus itself adds to every series. */
const OWN_LABELS = ['job', 'instance'];
const OWN_METRICS: Readonly<Record<string, readonly string[]>> = { up: [], process_start_time_seconds: [] };
/** The words of PromQL that stand where a metric may. */
const WORDS = new Set(
  (
    'absent and bool by changes count count_values group_left group_right histogram_quantile ignoring increase ' +
    'max min offset on or rate sum unless vector without avg topk'
  ).split(' '),
);

/** The labels of every name that can be asked for; a histogram has three. */
const known = new Map<string, readonly string[]>(Object.entries(OWN_METRICS));
for (const { name, labels } of OUTBOX_METRICS) known.set(name, labels);
for (const { name, type, labels } of METRICS) {
  if (type !== 'histogram') known.set(name, labels);
  else {
    known.set(`${name}_bucket`, [...labels, 'le']);
    known.set(`${name}_sum`, labels);
    known.set(`${name}_count`, labels);
  }
}

interface Selector {
  readonly metric: string;
  readonly matchers: readonly { readonly label: string; readonly operator: string; readonly value: string }[];
}

/**
 * The metrics that an expression asks for, each with what it asks of its labels, and the labels that it
 * groups by.
 */
function read(expression: string): { readonly selectors: Selector[]; readonly groupedBy: string[] } {
  const groupedBy = Array.from(
    expression.matchAll(/\b(?:by|on|ignoring|without) ?\(([^)]*)\)/g),
    ([, list]) => list!.split(',').map((label) => label.trim()),
  ).flat();
  const bare = expression
    .replace(/\b(?:by|on|ignoring|without) ?\([^)]*\)/g, ' ')
    .replace(/\[[^\]]*\]|\boffset \d+[smhd]/g, ' ');
  const selectors = Array.from(
    bare.matchAll(/([a-z_][a-z0-9_]*)\s*(?:\{([^}]*)\})?/gi),
    ([, metric, matchers = '']): Selector => ({
      metric: metric!,
      matchers: Array.from(
        matchers.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g),
        ([, label, operator, value]) => ({
          label: label!,
          operator: operator!,
          value: value!,
        }),
      ),
    }),
  ).filter(({ metric }) => !WORDS.has(metric));
  return { selectors, groupedBy };
}

/** @returns the names in an expression that no scrape would ever have. */
function mistakesIn(expression: string, values: ReadonlyMap<string, ReadonlySet<string>>): string[] {
  const { selectors, groupedBy } = read(expression);
  if (selectors.length === 0) return ['it asks for no metric'];
  const mistakes: string[] = [];
  for (const { metric, matchers } of selectors) {
    const labels = known.get(metric);
    if (labels === undefined) {
      mistakes.push(`no metric ${metric}`);
      continue;
    }
    const missing = [...matchers.map(({ label }) => label), ...groupedBy].filter(
      (label) => !labels.includes(label) && !OWN_LABELS.includes(label),
    );
    mistakes.push(...missing.map((label) => `no label ${label} of ${metric}`));
    for (const { label, operator, value } of matchers) {
      if (OWN_LABELS.includes(label) || missing.includes(label)) continue;
      const asked = operator.endsWith('~') ? value.split('|') : [value];
      const unknown = asked.filter((word) => !values.get(`${metric} ${label}`)?.has(word));
      mistakes.push(...unknown.map((word) => `no ${label} "${word}" of ${metric}`));
    }
  }
  return mistakes;
}

/** The values that each label of each metric has in a scrape. */
const values = new Map<string, Set<string>>();

beforeAll(async () => {
  const log = Object.assign(new ScriptedLog(), { flushes: new FlushStatistics() });
  const { series }: Scrape = await createMeasured({ log }).scrape();
  for (const name of series.keys()) {
    const { selectors } = read(name);
    const [{ metric, matchers }] = selectors as [Selector];
    for (const { label, value } of matchers) {
      const key = `${metric} ${label}`;
      values.set(key, (values.get(key) ?? new Set()).add(value));
    }
  }
});

describe('The reader of expressions of this test', () => {
  it.each([
    ['dtc_no_such_metric > 0', ['no metric dtc_no_such_metric']],
    ['rate(dtc_transaction_duration_seconds[5m])', ['no metric dtc_transaction_duration_seconds']],
    ['dtc_accepting{phase="prepare"}', ['no label phase of dtc_accepting']],
    ['sum by (participant) (dtc_transactions_stalled)', ['no label participant of dtc_transactions_stalled']],
    ['dtc_transactions_total{cause=~"failed|late"}', ['no cause "late" of dtc_transactions_total']],
    ['1 > 0', ['it asks for no metric']],
  ])('finds the mistake in %s', (expression, mistakes) => {
    expect(mistakesIn(expression, values)).toEqual(mistakes);
  });
});

describe('The alerts', () => {
  it('have a name each', () => {
    expect(rules.length).toBeGreaterThan(12);
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  });

  it.each(rules)('$alert asks for metrics that the code has', ({ expr }) => {
    expect(mistakesIn(expr, values)).toEqual([]);
  });

  it.each(rules)(
    '$alert has a severity, says what it means, and links to the runbook',
    ({ alert, labels, annotations }) => {
      expect(['critical', 'warning']).toContain(labels['severity']);
      expect(annotations['summary']).toMatch(/^[A-Z].{10,80}[^.]$/);
      expect(annotations['description']).toMatch(/\.$/);
      expect(annotations['runbook_url']).toBe(
        `{{ or $externalLabels.runbook "docs/runbook.md" }}#${alert.toLowerCase()}`,
      );
    },
  );

  it.each(rules)('$alert shows labels that its expression leaves', ({ expr, annotations }) => {
    const { selectors } = read(expr);
    const left = new Set([...OWN_LABELS, ...selectors.flatMap(({ metric }) => known.get(metric) ?? [])]);
    const shown = Array.from(annotations['description']!.matchAll(/\$labels\.(\w+)/g), ([, label]) => label!);
    expect(shown.filter((label) => !left.has(label))).toEqual([]);
  });

  it.each(rules)('$alert has its heading in the runbook', ({ alert }) => {
    expect(textOf('docs/runbook.md')).toMatch(new RegExp(`^#{2,4} ${alert}$`, 'm'));
  });
});

describe('The dashboard', () => {
  it.each(dashboards)(
    '%s is one that Grafana loads',
    (_, { uid, title, schemaVersion, templating, panels }) => {
      expect(uid).toMatch(/^[a-z-]{1,40}$/);
      expect(title).not.toBe('');
      expect(schemaVersion).toBeGreaterThanOrEqual(39);
      expect(templating.list[0]).toMatchObject({ name: 'datasource', type: 'datasource' });
      expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    },
  );

  it.each(dashboards)(
    '%s has its panels side by side, and none of them overlaps another',
    (_, { panels }) => {
      const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
        Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)} ${y + Math.floor(cell / w)}`),
      );
      expect(new Set(cells).size).toBe(cells.length);
      expect(panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
    },
  );

  it.each(panels.filter(({ type }) => type !== 'row'))(
    'panel "$title" asks for what the code has',
    ({ targets, description }) => {
      expect(description).toMatch(/\.$/);
      expect(targets?.length).toBeGreaterThan(0);
      for (const { expr, datasource } of targets ?? []) {
        expect(mistakesIn(expr, values)).toEqual([]);
        expect(datasource.uid).toBe('${datasource}');
      }
    },
  );

  it.each(panels.flatMap(({ title, targets = [] }) => targets.map((target) => ({ title, ...target }))))(
    'a legend of "$title" shows labels that its expression leaves: $expr',
    ({ expr, legendFormat }) => {
      const { groupedBy } = read(expr);
      const left = /\b(?:sum|max) by/.test(expr) || expr.includes('sum(') ? groupedBy : OWN_LABELS;
      const shown = Array.from(legendFormat.matchAll(/\{\{(\w+)\}\}/g), ([, label]) => label!);
      expect(shown.filter((label) => !left.includes(label))).toEqual([]);
    },
  );

  it('looks at every metric, or an alert does', () => {
    const asked = new Set(
      [
        ...rules.map(({ expr }) => expr),
        ...panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
      ]
        .flatMap((expression) => read(expression).selectors)
        .map(({ metric }) => metric.replace(/_(bucket|sum|count)$/, '')),
    );
    const unused = [...METRICS, ...OUTBOX_METRICS].map(({ name }) => name).filter((name) => !asked.has(name));
    expect(unused).toEqual([]);
  });
});

describe('The provisioning', () => {
  it('of Prometheus scrapes the route with the token of a reader, and reads the rules beside it', () => {
    const { rule_files: files, scrape_configs: scrapes } = parse(
      textOf('deploy/prometheus/prometheus.yml'),
    ) as {
      rule_files: string[];
      scrape_configs: { job_name: string; metrics_path: string; authorization: Record<string, string> }[];
    };
    expect(files.map((file) => textOf(`deploy/prometheus/${file}`))).toHaveLength(1);
    expect(scrapes).toMatchObject([
      {
        job_name: 'dtc',
        metrics_path: '/metrics',
        authorization: { type: 'Bearer', credentials_file: '/run/secrets/prometheus-token' },
      },
    ]);
  });

  it('of Grafana knows Prometheus, and where the dashboards are', () => {
    const folder = 'deploy/grafana/provisioning';
    expect(parse(textOf(`${folder}/datasources/prometheus.yml`))).toMatchObject({
      apiVersion: 1,
      datasources: [{ type: 'prometheus', url: 'http://prometheus:9090' }],
    });
    expect(parse(textOf(`${folder}/dashboards/dashboards.yml`))).toMatchObject({
      apiVersion: 1,
      providers: [{ type: 'file', options: { path: '/var/lib/grafana/dashboards' } }],
    });
  });
});

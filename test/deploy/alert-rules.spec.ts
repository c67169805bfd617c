import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ALARM_NAMES, alarmOf } from '../../src/coordinator/observation/alarms/alarm.js';

/** The program of Prometheus that tests rules. Without it these tests are left out. */
const isMissing = spawnSync('promtool', ['--version']).error !== undefined;
if (isMissing) console.warn('promtool is not installed, so the alert rules are not run.');

interface Rule {
  readonly alert: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<'summary' | 'description' | 'runbook_url', string>>;
}

const RULES = join(import.meta.dirname, '../../deploy/prometheus/alerts.yml');
const { groups } = parse(readFileSync(RULES, 'utf8')) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};
const alerts = groups.flatMap(({ rules }) => rules);

/**
 * Series with one value a minute, as promtool writes them: `1x5` is 1 and five times more, `0+2x5` grows by
 * 2.
 */
type Series = Readonly<Record<string, string>>;

interface Condition {
  /** The alert fires at the given minute. */
  readonly fires: Series;
  readonly atMinute: number;
  /** The alert does not fire then. */
  readonly quiet: Series;
  /** @default atMinute */
  readonly quietAtMinute?: number;
}

/** Single events are looked back at for an hour at most. */
const LONG_AFTER = 190;

/** A gauge that is 1 in the condition. */
const flag = (metric: string, atMinute = 2, labels = ''): Condition => ({
  fires: { [`${metric}${labels}`]: '1x200' },
  atMinute,
  quiet: { [`${metric}${labels}`]: '0x200' },
});
/** A gauge above a limit. */
const above = (metric: string, limit: number, atMinute: number): Condition => ({
  fires: { [metric]: `${limit + 1}x200` },
  atMinute,
  quiet: { [metric]: `${limit}x200` },
});
/**
 * A counter of single events, of which one has happened. Without its first value the event is the first thing
 * known.
 */
const event = (metric: string): Condition => ({
  fires: { [metric]: '0 0 1x20' },
  atMinute: 4,
  quiet: { [metric]: '1x200' },
  quietAtMinute: LONG_AFTER,
});

const CONDITIONS: Readonly<Record<string, Condition>> = {
  DtcTargetDown: {
    ...flag('up', 3, '{job="dtc"}'),
    fires: { 'up{job="dtc"}': '0x9' },
    quiet: { 'up{job="dtc"}': '1x9' },
  },
  DtcNotAccepting: {
    fires: { dtc_accepting: '0x9', dtc_draining: '0x9' },
    atMinute: 3,
    quiet: { dtc_accepting: '0x9', dtc_draining: '1x9' },
  },
  DtcRestartLoop: {
    fires: { 'process_start_time_seconds{job="dtc"}': '100 200 300 400x20' },
    atMinute: 5,
    quiet: { 'process_start_time_seconds{job="dtc"}': '100x5 200x20' },
  },
  DtcDraining: flag('dtc_draining', 62),
  DtcInDoubtTooLong: above('dtc_in_doubt_oldest_seconds', 30, 2),
  DtcStalled: above('dtc_transactions_stalled', 0, 7),
  DtcStalledTooLong: above('dtc_stalled_oldest_seconds', 3_600, 3),
  DtcVotesExpiring: above('dtc_votes_expiring', 0, 1),
  DtcHeuristicReportOpen: above('dtc_transactions_heuristic', 0, 1),
  DtcLogProblem: {
    fires: { dtc_log_up: '0x9', dtc_log_fenced: '0x9' },
    atMinute: 2,
    quiet: { dtc_log_up: '0x9', dtc_log_fenced: '1x9' },
  },
  DtcLogRestartNeeded: flag('dtc_log_restart_needed'),
  DtcFenced: flag('dtc_log_fenced'),
  DtcLogBehind: flag('dtc_log_behind'),
  DtcLogMoved: flag('dtc_log_moved'),
  DtcAdoptionStuck: above('dtc_dead_epoch_oldest_seconds', 300, 3),
  DtcLogSlow: {
    fires: {
      'dtc_log_flush_duration_seconds_bucket{le="0.1"}': '0x30',
      'dtc_log_flush_duration_seconds_bucket{le="1"}': '0+10x30',
      'dtc_log_flush_duration_seconds_bucket{le="+Inf"}': '0+10x30',
    },
    atMinute: 20,
    quiet: {
      'dtc_log_flush_duration_seconds_bucket{le="0.1"}': '0+10x30',
      'dtc_log_flush_duration_seconds_bucket{le="1"}': '0+10x30',
      'dtc_log_flush_duration_seconds_bucket{le="+Inf"}': '0+10x30',
    },
  },
  DtcMemberLost: event('dtc_adoptions_total{of="lost"}'),
  DtcMemberFenced: event('dtc_member_returns_total'),
  DtcRecoveryNotEnding: {
    fires: { dtc_recovering: '0x30', dtc_recovery_passes_total: '7x30' },
    atMinute: 25,
    quiet: { dtc_recovering: '0x30', dtc_recovery_passes_total: '0+1x30' },
  },
  DtcOrphansFound: event('dtc_orphans_total'),
  DtcOrphanScanFailing: {
    fires: { dtc_orphan_scan_failures_total: '0+1x30' },
    atMinute: 20,
    quiet: { dtc_orphan_scan_failures_total: '5x30' },
  },
  DtcUndecidableBranches: above('dtc_undecidable_branches', 0, 3),
  DtcForeignBranches: above('dtc_foreign_branches', 0, 17),
  DtcAbortRateHigh: {
    fires: {
      'dtc_transactions_total{outcome="committed",cause="none"}': '0+90x30',
      'dtc_transactions_total{outcome="aborted",cause="refused-for-now"}': '0+10x30',
    },
    atMinute: 20,
    quiet: {
      'dtc_transactions_total{outcome="committed",cause="none"}': '0+90x30',
      'dtc_transactions_total{outcome="aborted",cause="refused"}': '0+10x30',
    },
  },
  DtcRetriesHigh: {
    fires: {
      'dtc_failed_attempts_total{participant="p"}': '0+2x30',
      'dtc_completions_total{participant="p"}': '0+8x30',
    },
    atMinute: 20,
    quiet: {
      'dtc_failed_attempts_total{participant="p"}': '0+1x30',
      'dtc_completions_total{participant="p"}': '0+99x30',
    },
  },
  DtcOverload: {
    fires: { dtc_transactions_in_flight: '81x9', dtc_transactions_in_flight_limit: '100x9' },
    atMinute: 3,
    quiet: { dtc_transactions_in_flight: '80x9', dtc_transactions_in_flight_limit: '100x9' },
  },
  DtcRefusing: {
    fires: {
      'dtc_refused_total{code="DTC_OVERLOADED"}': '0+10x30',
      'dtc_transactions_total{outcome="committed"}': '0+90x30',
    },
    atMinute: 15,
    quiet: {
      'dtc_refused_total{code="DTC_OVERLOADED"}': '0+1x30',
      'dtc_transactions_total{outcome="committed"}': '0+99x30',
    },
  },
  DtcParticipantPaused: flag('dtc_participant_paused', 32),
  DtcParticipantSilent: flag('dtc_participant_silent', 3),
  DtcParticipantMissing: {
    fires: { dtc_participant_registered: '0x9' },
    atMinute: 7,
    quiet: { dtc_participant_registered: '1x9' },
  },
  DtcOutboxLate: above('dtc_outbox_oldest_seconds', 300, 7),
  DtcOutboxDead: flag('dtc_outbox_dead', 3),
  DtcOutboxDown: { fires: { dtc_outbox_up: '0x9' }, atMinute: 7, quiet: { dtc_outbox_up: '1x9' } },
  DtcLinesDropped: event('dtc_lines_dropped_total'),
  DtcDefects: event('dtc_defects_total'),
};

interface Case {
  readonly name: string;
  readonly alert: string;
  /** How the output of promtool names it. */
  readonly expression: string;
  readonly test: object;
}

/** @returns a series as it is scraped from one instance. */
function scraped(name: string): string {
  const labels = [...(/\{(.*)\}$/.exec(name)?.[1]?.split(',') ?? []), 'instance="app"', 'job="dtc"'];
  return `${name.replace(/\{.*/, '')}{${Array.from(new Set(labels)).join(',')}}`;
}

function caseOf(alert: string, series: Series, minute: number, fires: boolean): Case {
  const firing = `ALERTS{alertstate="firing",alertname="${alert}"}`;
  const expression = `${fires ? 'max' : 'min'} by (alertname) (${firing})`;
  return {
    name: `${alert} ${fires ? 'fires' : 'does not fire'}`,
    alert,
    expression,
    test: {
      interval: '1m',
      input_series: Object.entries(series).map(([name, values]) => ({ series: scraped(name), values })),
      promql_expr_test: [
        {
          expr: expression,
          eval_time: `${minute}m`,
          exp_samples: fires ? [{ labels: `{alertname="${alert}"}`, value: 1 }] : [],
        },
      ],
    },
  };
}

const CASES = Object.entries(CONDITIONS).flatMap(
  ([alert, { fires, quiet, atMinute, quietAtMinute = atMinute }]) => [
    caseOf(alert, fires, atMinute, true),
    caseOf(alert, quiet, quietAtMinute, false),
  ],
);

/** An alert links to the runbook, wherever a team reads it. */
const LINKED = {
  interval: '1m',
  external_labels: { runbook: 'https://docs.example.com/runbook.html' },
  input_series: [{ series: scraped('dtc_log_restart_needed'), values: '1x9' }],
  alert_rule_test: [
    {
      alertname: 'DtcLogRestartNeeded',
      eval_time: '2m',
      exp_alerts: [
        {
          exp_labels: { severity: 'critical', instance: 'app', job: 'dtc' },
          exp_annotations: {
            ...alerts.find(({ alert }) => alert === 'DtcLogRestartNeeded')!.annotations,
            description: alerts
              .find(({ alert }) => alert === 'DtcLogRestartNeeded')!
              .annotations.description.replaceAll('{{ $labels.instance }}', 'app'),
            runbook_url: 'https://docs.example.com/runbook.html#dtclogrestartneeded',
          },
        },
      ],
    },
  ],
};

describe('The alert rules', () => {
  it('each have a condition here in which they fire, and one in which they do not', () => {
    expect(Object.keys(CONDITIONS).toSorted()).toEqual(alerts.map(({ alert }) => alert).toSorted());
  });

  it('are the alarms of the dashboard, and as urgent as these', () => {
    const rules = alerts.map(({ alert, labels }) => [alert, labels.severity] as const);
    const alarms = ALARM_NAMES.map((name) => [name, alarmOf(name, null).severity] as const);
    expect(Object.fromEntries(alarms)).toEqual(Object.fromEntries(rules));
  });
});

describe.skipIf(isMissing)('The alert rules in Prometheus', () => {
  const folder = mkdtempSync(join(tmpdir(), 'dtc-rules-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** @returns the file with these tests of the rules in another file. */
  function testsOf(rules: string, name: string, tests: readonly object[]): string {
    const file = join(folder, `${name}.yml`);
    writeFileSync(file, stringify({ rule_files: [rules], evaluation_interval: '1m', tests }));
    return file;
  }

  /**
   * @returns the file with the tests of one alert, which see its rule alone: each costs time at every minute
   * of a test.
   */
  function testsOfAlert(rule: Rule): string {
    const rules = join(folder, `${rule.alert}-rule.yml`);
    writeFileSync(rules, stringify({ groups: [{ name: 'dtc', rules: [rule] }] }));
    const tests = CASES.filter(({ alert }) => alert === rule.alert).map(({ test }) => test);
    return testsOf(rules, rule.alert, tests);
  }

  /** @returns the report of promtool about tests that fail; nothing when all pass. */
  function failuresOf(files: readonly string[]): string {
    const { stdout, stderr, status, error } = spawnSync('promtool', ['test', 'rules', ...files], {
      encoding: 'utf8',
    });
    if (error !== undefined) throw error;
    if (status === 0 && stdout.includes('SUCCESS')) return '';
    return stderr;
  }

  let failures = '';
  beforeAll(() => void (failures = failuresOf(alerts.map(testsOfAlert))));

  it.each(CASES)('$name', ({ expression }) => {
    expect(failures).not.toContain(JSON.stringify(expression));
  });

  it('have no other mistake', () => expect(failures).toBe(''));

  it('link to the runbook where the external label of that name says', () => {
    expect(failuresOf([testsOf(RULES, 'linked', [LINKED])])).toBe('');
  });
});

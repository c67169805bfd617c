import { ABORT_CAUSES } from '../../protocol/index.js';
import { VERSION } from '../../version.js';
import type { Group, Snapshot } from '../snapshot.js';
import { type Metric, counter, gauge } from './metric.js';
import { LINE_KINDS } from './participant-measurements.js';

const MICROSECOND = 1e-6;

/**
 * The causes of an abort that a caller can receive. Abort is presumed only of orphans, which have no caller.
 */
const CAUSES = ABORT_CAUSES.map((cause, number) => ({ cause, number })).filter(
  ({ cause }) => cause !== 'none' && cause !== 'presumed',
);

/** A metric of the age of the oldest member of a group. */
function oldest(name: Metric['name'], since: string, groupOf: (snapshot: Snapshot) => Group): Metric {
  const help = `Seconds since ${since}; 0 when there is none`;
  return gauge(name, help, ({ snapshot }) => (groupOf(snapshot).oldestMs(snapshot.now) ?? 0) / 1_000);
}

/** The coordinator itself, and its transactions. */
export const COORDINATOR_METRICS: readonly Metric[] = [
  {
    name: 'dtc_coordinator_info',
    type: 'gauge',
    help: 'Always 1: the name and the version of the coordinator, and whether its log outlives a crash',
    labels: ['name', 'version', 'durable'],
    read: ({ runtime }) => [[[runtime.parts.options.name, VERSION, String(runtime.log.durable)], 1]],
  },
  gauge(
    'dtc_epoch',
    'The number of the start of the log: it grows with each start of a durable log',
    ({ runtime }) => runtime.log.epoch,
  ),
  gauge(
    'dtc_accepting',
    'Whether new transactions are admitted, if there is room, and no shutdown was asked for',
    ({ runtime }) => runtime.admission.isAccepting,
  ),
  gauge(
    'dtc_draining',
    'Whether an operator has stopped new transactions',
    ({ runtime }) => runtime.admission.isDraining,
  ),
  gauge(
    'dtc_recovering',
    'Whether decisions of earlier runs have yet to be tried for the first time',
    ({ runtime }) => runtime.isRecovering,
  ),
  {
    name: 'dtc_transactions_total',
    type: 'counter',
    help:
      'Transactions by the outcome that their caller was told, and if aborted, by the cause; refused-for-now: a ' +
      'participant lacked a resource, or was in conflict with another transaction',
    labels: ['outcome', 'cause'],
    read: ({ reporter: { measurements } }) => [
      [['committed', 'none'], measurements.committed],
      ...CAUSES.map(({ cause, number }) => [['aborted', cause], measurements.aborted[number]!] as const),
      // It is no answer to the request itself.
      [['aborted', 'refused-for-now'], measurements.refusedForNow],
      [['pending', 'none'], measurements.pending],
      [['heuristic', 'none'], measurements.heuristic],
    ],
  },
  {
    name: 'dtc_refused_total',
    type: 'counter',
    help: 'Transactions and branches refused before anything started, by the code of the error',
    labels: ['code'],
    read: ({ runtime }) =>
      Array.from(runtime.admission.refusals, ([code, times]) => [[code], times] as const),
  },
  {
    name: 'dtc_transaction_duration_seconds',
    type: 'histogram',
    help: 'From the start of a transaction until its last branch is completed',
    labels: ['decision'],
    unit: MICROSECOND,
    read: ({ reporter: { measurements } }) => [
      [['commit'], measurements.commitUs],
      [['abort'], measurements.abortUs],
    ],
  },
  gauge(
    'dtc_transactions_in_flight',
    'Transactions that have begun and neither ended nor stalled',
    ({ runtime }) => runtime.registry.inFlight,
  ),
  gauge(
    'dtc_transactions_in_flight_limit',
    'The most transactions in flight; further transactions are refused',
    ({ runtime }) => runtime.parts.options.maxInFlight,
  ),
  gauge(
    'dtc_transactions_queued',
    'Transactions that wait for room at a database server, and have not started',
    ({ runtime }) => runtime.limits.queued,
  ),
  counter(
    'dtc_reruns_total',
    'Attempts that conflicted with another transaction, were rolled back and run again without an answer to the caller',
    ({ runtime }) => runtime.reruns.count,
  ),
  oldest(
    'dtc_in_flight_oldest_seconds',
    'the start of the oldest in flight',
    (snapshot) => snapshot.inFlight,
  ),
  gauge(
    'dtc_transactions_in_doubt',
    'Transactions that are prepared and whose decision is not known',
    ({ snapshot }) => snapshot.inDoubt.count,
  ),
  oldest(
    'dtc_in_doubt_oldest_seconds',
    'the last vote of the oldest in doubt',
    (snapshot) => snapshot.inDoubt,
  ),
  gauge(
    'dtc_last_resources_awaited',
    'Transactions whose last resource was asked to commit, and has not said how it has ended: the other branches hold their locks',
    ({ snapshot }) => snapshot.lastResources.count,
  ),
  oldest(
    'dtc_last_resource_oldest_seconds',
    'the call of the last resource that has been waited for longest',
    (snapshot) => snapshot.lastResources,
  ),
  gauge(
    'dtc_transactions_stalled',
    'Transactions with a branch that used up its attempts',
    ({ snapshot }) => snapshot.stalled.count,
  ),
  oldest(
    'dtc_stalled_oldest_seconds',
    'the decision of the oldest stalled, or its restoration at the start',
    (snapshot) => snapshot.stalled,
  ),
  gauge(
    'dtc_transactions_heuristic',
    'Transactions with a heuristic report that no operator has dealt with',
    ({ snapshot }) => snapshot.heuristic.count,
  ),
  oldest(
    'dtc_heuristic_oldest_seconds',
    'the decision of the oldest with such a report, or its restoration at the start',
    (snapshot) => snapshot.heuristic,
  ),
  counter(
    'dtc_groups_total',
    'Groups of transactions that were prepared as one and committed',
    ({ reporter }) => reporter.measurements.groups,
  ),
  counter(
    'dtc_grouped_transactions_total',
    'Transactions that were committed as members of a group',
    ({ reporter }) => reporter.measurements.groupedTransactions,
  ),
  counter(
    'dtc_group_reruns_total',
    'Runs of the work of a group after its first, without members that were refused or ended',
    ({ reporter }) => reporter.measurements.groupReruns,
  ),
  counter(
    'dtc_recovery_passes_total',
    'Passes of the recovery job that have ended',
    ({ reporter }) => reporter.measurements.recoveryPasses,
  ),
  counter(
    'dtc_orphans_total',
    'Branches that earlier runs prepared and left without a decision; they are rolled back',
    ({ reporter }) => reporter.statistics.orphans,
  ),
  counter(
    'dtc_defects_total',
    'Defects of the coordinator: please report them',
    ({ reporter }) => reporter.statistics.defects,
  ),
  counter(
    'dtc_lines_dropped_total',
    'Log lines that could not be written: the disk is full, or their reader is gone or slow',
    ({ reporter }) => reporter.droppedLines,
  ),
  {
    name: 'dtc_lines_left_out_total',
    type: 'counter',
    help: 'Log lines that were left out, because there were more of their kind than `maxLinesOfKind` allows in ten seconds',
    labels: ['kind'],
    read: ({ reporter: { leftOutLines } }) =>
      LINE_KINDS.map((kind) => [[kind], leftOutLines.get(kind) ?? 0] as const),
  },
];

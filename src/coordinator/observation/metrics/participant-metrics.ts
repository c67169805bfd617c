import type { Histogram } from '../../histogram.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import type { HistogramMetric, LabelValues, Metric, NumberMetric } from './metric.js';
import type { MetricSource } from './metric-source.js';
import { measurementsOf } from './participant-measurements.js';

/** A metric with a series for each participant. */
function perParticipant(
  type: NumberMetric['type'],
  name: NumberMetric['name'],
  help: string,
  read: (participant: RegisteredParticipant, source: MetricSource) => number | boolean,
): NumberMetric {
  return {
    name,
    type,
    help,
    labels: ['participant'],
    *read(source) {
      for (const participant of source.participants) {
        yield [[participant.name], Number(read(participant, source))];
      }
    },
  };
}

/** A metric with a series for each participant and each value of one further label. */
function perParticipantAnd(
  label: string,
  name: NumberMetric['name'],
  help: string,
  read: (participant: RegisteredParticipant) => Readonly<Record<string, number>>,
): NumberMetric {
  return {
    name,
    type: 'counter',
    help,
    labels: ['participant', label],
    *read({ participants }) {
      for (const participant of participants) {
        for (const [value, count] of Object.entries(read(participant)))
          yield [[participant.name, value], count];
      }
    },
  };
}

const PHASE_DURATION: HistogramMetric = {
  name: 'dtc_phase_duration_seconds',
  type: 'histogram',
  help:
    'prepare: from the start of the voting to the answer of the participant. completion: from the decision to its ' +
    'acknowledgement, with every attempt and pause; of a one-phase commit, from the call',
  labels: ['participant', 'phase'],
  unit: 1e-6,
  *read({ participants }): Iterable<readonly [LabelValues, Histogram]> {
    for (const participant of participants) {
      const { prepareUs, completionUs } = measurementsOf(participant);
      yield [[participant.name, 'prepare'], prepareUs];
      yield [[participant.name, 'completion'], completionUs];
    }
  },
};

/** The events at each participant. */
export const PARTICIPANT_METRICS: readonly Metric[] = [
  perParticipant(
    'gauge',
    'dtc_participant_registered',
    'Whether it is registered; if not, it owes the completion of a branch',
    ({ name }, { registered }) => registered.some((participant) => participant.name === name),
  ),
  perParticipant(
    'gauge',
    'dtc_participant_server_slots_limit',
    'The most branches in progress at its database server, over all participants there; 0 without a limit',
    ({ server }) => server?.limit ?? 0,
  ),
  perParticipant(
    'gauge',
    'dtc_participant_server_slots_used',
    'The branches in progress at its database server, over all participants there',
    ({ server }) => server?.used ?? 0,
  ),
  perParticipant(
    'gauge',
    'dtc_participant_paused',
    'Whether an operator has paused it',
    ({ paused }) => paused !== undefined,
  ),
  perParticipant(
    'gauge',
    'dtc_participant_silent',
    'Whether it has answered none of its last prepares in time, so that most transactions that need it are refused',
    (participant, { snapshot }) => participant.silentSince(snapshot.now) !== undefined,
  ),
  PHASE_DURATION,
  perParticipantAnd(
    'vote',
    'dtc_votes_total',
    'Answers to prepare in time; none is a failure, or an answer that is not a vote',
    ({ counts }) => ({
      commit: counts.commitVotes,
      'read-only': counts.readOnlyVotes,
      abort: counts.refusals,
      none: counts.failures,
    }),
  ),
  perParticipant(
    'counter',
    'dtc_late_answers_total',
    'Answers to prepare that came after the abort',
    ({ counts }) => counts.lateAnswers,
  ),
  perParticipant(
    'counter',
    'dtc_late_failures_total',
    'Of these, failures and invalid votes that the aborted signal does not explain',
    ({ counts }) => counts.lateFailures,
  ),
  perParticipant(
    'counter',
    'dtc_timeouts_total',
    'Calls in either phase that were not answered in time',
    ({ counts }) => counts.timeouts,
  ),
  perParticipantAnd('decision', 'dtc_completions_total', 'Branches that were completed', ({ counts }) => ({
    commit: counts.committed,
    abort: counts.rolledBack,
  })),
  perParticipant(
    'counter',
    'dtc_failed_attempts_total',
    'Attempts to complete a branch that failed; each is followed by a retry',
    ({ counts }) => counts.failedAttempts,
  ),
  perParticipant(
    'gauge',
    'dtc_branches_stalled',
    'Branches that used up their attempts and wait for the recovery job',
    ({ name }, { snapshot }) => snapshot.stalledBranches(name),
  ),
  perParticipant(
    'counter',
    'dtc_heuristic_reports_total',
    'Heuristic reports, including those that agree with the decision',
    ({ counts }) => counts.heuristicReports,
  ),
  perParticipant(
    'gauge',
    'dtc_heuristic_reports_open',
    'Heuristic reports that no operator has dealt with',
    ({ name }, { snapshot }) => snapshot.openReports(name),
  ),
  perParticipant(
    'gauge',
    'dtc_votes_expiring',
    'Branches that are not completed and whose vote is about to expire or has expired',
    ({ name }, { snapshot }) => snapshot.expiringVotes(name),
  ),
  perParticipantAnd(
    'when',
    'dtc_votes_expired_total',
    'Votes that expired: before the decision, which then is abort; or after it and before the branch was committed',
    (participant) => measurementsOf(participant).expired,
  ),
  perParticipant(
    'counter',
    'dtc_orphan_scan_failures_total',
    'Failed attempts to list its prepared branches',
    (participant) => measurementsOf(participant).failedScans,
  ),
  perParticipant(
    'gauge',
    'dtc_undecidable_branches',
    'Prepared branches of which this coordinator cannot know the decision',
    (participant) => measurementsOf(participant).undecidable,
  ),
  perParticipant(
    'gauge',
    'dtc_foreign_branches',
    'Prepared branches of other coordinators, or with an id that no coordinator makes, that stay prepared',
    (participant) => measurementsOf(participant).undecided.foreign,
  ),
];

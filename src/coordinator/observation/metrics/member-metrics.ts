import type { CoordinatorRuntime } from '../../execution/coordinator-runtime.js';
import { MEMBER_STATES, memberState } from '../member-state.js';
import { type Metric, counter, gauge } from './metric.js';

/**
 * @returns the age of the oldest lease of an epoch that is dead and not settled, in seconds; 0 when there is
 * none.
 */
function oldestDeadSeconds(runtime: CoordinatorRuntime): number {
  const { members, parts } = runtime;
  const dead = members.list.filter((member) => memberState(member, runtime) !== 'alive');
  if (dead.length === 0) return 0;
  return (Math.max(...dead.map(({ ageMs }) => ageMs)) + (members.seenForMs(parts.clock.now()) ?? 0)) / 1_000;
}

/** The members of a shared log, as this one knows them. Without a shared log all are 0. */
export const MEMBER_METRICS: readonly Metric[] = [
  {
    name: 'dtc_members',
    type: 'gauge',
    help: 'Epochs of members that are not settled, by their state when the log has listed them',
    labels: ['state'],
    read: ({ runtime }) =>
      MEMBER_STATES.map((state) => {
        const found = runtime.members.list.filter((member) => memberState(member, runtime) === state);
        return [[state], found.length] as const;
      }),
  },
  gauge(
    'dtc_lease_age_seconds',
    'Seconds since this member has renewed its lease; 0 before the first time',
    ({ runtime: { members, parts } }) => (members.seenForMs(parts.clock.now()) ?? 0) / 1_000,
  ),
  gauge(
    'dtc_epochs_owned',
    'Epochs that this member owns: its own, and those that it has adopted and not settled',
    ({ runtime: { members, log } }) =>
      members.list.filter(({ epoch, adoptedBy }) => epoch === log.epoch || adoptedBy === log.epoch).length,
  ),
  gauge(
    'dtc_dead_epoch_oldest_seconds',
    'Seconds since the last renewal of the oldest epoch that is dead and not settled; 0 when there is none',
    ({ runtime }) => oldestDeadSeconds(runtime),
  ),
  {
    name: 'dtc_adoptions_total',
    type: 'counter',
    help: 'Epochs that this member has adopted: of members that were taken for lost, and of those that were fenced before',
    labels: ['of'],
    read: ({ runtime: { members } }) => [
      [['lost'], members.adoptions.lost],
      [['fenced'], members.adoptions.fenced],
    ],
  },
  counter(
    'dtc_member_returns_total',
    'Times that this member was fenced while it lived, and went on with a new epoch',
    ({ runtime }) => runtime.members.returns,
  ),
  gauge(
    'dtc_log_behind',
    'Whether the log has lost records that it had acknowledged, so that nothing more is decided',
    ({ runtime: { log } }) => log.problemCode === 'DTC_LOG_BEHIND',
  ),
  gauge(
    'dtc_log_moved',
    'Whether the log is in another database or on another server than the one where it was made',
    ({ runtime: { log } }) => log.problemCode === 'DTC_LOG_MOVED',
  ),
];

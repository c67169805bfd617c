/** One defect, as a table of the rungs lists it. */
export interface Row {
  readonly name: string;
  /** Breaks the code: the name of a mutant. */
  readonly mutant: string;
  /**
   * Breaks the log on PostgreSQL in the same way: the name of a mutant.
   *
   * @default that log has no part in it
   */
  readonly postgres?: string;
  /** What the Promela model calls the same. @default the model has no part in it */
  readonly model?: string | undefined;
  /** What the searched world calls the same. @default it is looked for in the code */
  readonly world?: string;
}

/** The defects of the protocol, and what the model of it calls the same. */
const PROTOCOL_MUTANTS: Readonly<Record<string, string | undefined>> = {
  'time-out-is-a-yes': 'TIMEOUT_IS_YES',
  'throw-is-a-refusal': 'ROLLBACK_SKIPS_A_BRANCH',
  'preparing-branches-are-not-rolled-back': undefined,
  'no-is-lost-after-a-reader': 'NO_LOST_AFTER_READ_ONLY',
  'first-yes-decides': undefined,
  'late-yes-is-believed': 'LATE_YES_BELIEVED',
  'late-yes-is-not-rolled-back-again': 'LATE_YES_IGNORED',
  'overtaken-rollback-is-acknowledged': 'OVERTAKEN_ACK_COUNTS',
  'branch-enlisted-while-voting': 'ENLIST_AFTER_VOTING',
  'deadline-aborts-a-recorded-decision': 'TIMEOUT_TOLD_AS_ABORT',
  'one-phase-with-two-voters': 'ONE_PHASE_WITH_TWO',
  'one-phase-unknown-is-an-abort': 'ONE_PHASE_UNKNOWN_IS_ABORT',
  'exhausted-retries-become-an-abort': 'EXHAUSTED_BECOMES_ABORT',
  'first-acknowledgement-ends': 'END_BEFORE_ALL_ACKS',
  'commit-before-the-record': 'COMMIT_BEFORE_RECORD',
  'log-error-is-an-abort': 'LOG_ERROR_IS_ABORT',
  'prepare-after-rollback': 'NO_TOMBSTONE',
  'recovery-touches-live-transactions': 'LIVE_SWEEP',
  'anybody-presumes-abort': 'ANYBODY_PRESUMES',
  'decision-is-presumed-aborted': 'RECORD_NOT_RESTORED',
  'restored-branch-is-forgotten': 'RESTORE_MISSES_A_BRANCH',
  'fenced-is-an-abort': 'FENCED_PRESUMES_ABORT',
};

export const PROTOCOL_ROWS: readonly Row[] = Object.entries(PROTOCOL_MUTANTS).map(([mutant, model]) => ({
  name: mutant,
  mutant,
  model,
}));

/** A defect that has no other name in the model, the searched world or the log on PostgreSQL. */
function only(mutant: string): Row {
  return { name: mutant, mutant };
}

/** The defects that break the rules which members of a shared log cannot do without. */
export const NAMED_ROWS: readonly Row[] = [
  {
    name: 'reads-before-it-fences',
    mutant: 'reads-before-it-fences',
    model: 'READ_BEFORE_CLAIM',
    world: 'recovery reads before it claims',
  },
  {
    name: 'appends-without-the-epoch-check',
    mutant: 'memory-log-appends-when-fenced',
    postgres: 'shared-log-appends-when-fenced',
    model: 'OLD_EPOCH_APPENDS',
    world: 'the log takes a record of an old epoch',
  },
  {
    name: 'appends-without-the-incarnation-check',
    mutant: 'memory-log-takes-a-write-of-a-lost-connection',
    postgres: 'shared-log-takes-a-write-of-a-lost-connection',
    model: 'OLD_INCARNATION_APPENDS',
    world: 'the log takes a record of an old incarnation',
  },
  {
    name: 'presumes-abort-for-a-living-epoch',
    mutant: 'presumes-abort-for-a-living-epoch',
    model: 'ANYBODY_PRESUMES',
    world: 'any coordinator presumes abort',
  },
  {
    name: 'trusts-a-lease',
    mutant: 'trusts-a-lease',
    model: 'TRUSTS_LEASE',
    world: 'an adopter trusts the lease, and does not fence',
  },
  {
    name: 'loses-a-registration-in-doubt',
    mutant: 'memory-log-loses-a-registration',
    postgres: 'shared-log-loses-a-registration',
  },
  {
    name: 'forgets-the-outcome-at-the-end',
    mutant: 'memory-log-forgets-outcomes',
    model: 'OUTCOME_FORGOTTEN',
    world: 'the log forgets the outcome at the end',
  },
];

/** All defects of members. */
export const MEMBER_ROWS: readonly Row[] = [
  ...NAMED_ROWS,
  only('adopts-after-an-outage-at-once'),
  only('restart-of-the-server-frees-locks'),
  only('undecidable-run-is-rolled-back'),
  {
    name: 'presumes-abort-after-a-failover',
    mutant: 'memory-log-presumes-on-a-new-timeline',
    postgres: 'shared-log-presumes-of-what-it-has-lost',
  },
  only('absence-after-a-failover-is-an-abort'),
  only('gap-between-renewals-is-not-noticed'),
  only('fence-of-an-earlier-run-counts'),
  only('fenced-member-lets-its-transactions-wait'),
  only('one-phase-without-a-record'),
  only('reading-commit-without-a-record'),
  only('decider-of-a-dead-member-is-not-asked'),
  only('does-the-work-of-a-decider-again'),
  only('note-of-the-end-is-lost'),
  only('orphan-is-of-the-first-round'),
  only('only-stalled-decisions-are-asked-for'),
  only('record-of-another-is-passed-over'),
  only('view-of-a-long-pass-is-believed'),
];

import type { HeuristicKind, Outcome, TransactionState, TransactionSummary } from '../coordinator/index.js';

/** The statuses of the draft. */
export const STATUSES = [
  'TransactionActive',
  'TransactionRollbackOnly',
  'TransactionPreparing',
  'TransactionPrepared',
  'TransactionReadOnly',
  'TransactionCommitting',
  'TransactionCommitted',
  'TransactionCommittedOnePhase',
  'TransactionRollingBack',
  'TransactionRolledBack',
  'TransactionHeuristicCommit',
  'TransactionHeuristicRollback',
  'TransactionHeuristicMixed',
  'TransactionHeuristicHazard',
  'TransactionStatusUnknown',
] as const;

/** One of {@link STATUSES}. */
export type Status = (typeof STATUSES)[number];

export const STATUS_TYPE = 'application/txstatus';

const BODY = /^txstatus=(\w{1,64})$/;

const STATUS_OF_STATE: Readonly<Record<TransactionState, Status>> = {
  ACTIVE: 'TransactionActive',
  PREPARING: 'TransactionPreparing',
  READY: 'TransactionPrepared',
  COMMITTING: 'TransactionCommitting',
  COMMITTED: 'TransactionCommitted',
  ABORTING: 'TransactionRollingBack',
  ABORTED: 'TransactionRolledBack',
};

const STATUS_OF_KIND: Readonly<Record<HeuristicKind, Status>> = {
  commit: 'TransactionHeuristicCommit',
  rollback: 'TransactionHeuristicRollback',
  mixed: 'TransactionHeuristicMixed',
  hazard: 'TransactionHeuristicHazard',
};

const KIND_OF_STATUS: ReadonlyMap<Status, HeuristicKind> = new Map(
  Object.entries(STATUS_OF_KIND).map(([kind, status]) => [status, kind as HeuristicKind]),
);

/** @returns the body that tells a status. */
export function bodyOf(status: Status): string {
  return `txstatus=${status}`;
}

/** @returns the status that a body tells; undefined when it tells none. */
export function statusIn(body: string): Status | undefined {
  const name = BODY.exec(body.trim())?.[1];
  return STATUSES.find((status) => status === name);
}

/** @returns how a branch has ended by itself; undefined for a status that says nothing of that. */
export function heuristicOf(status: Status | undefined): HeuristicKind | undefined {
  return status === undefined ? undefined : KIND_OF_STATUS.get(status);
}

/** @returns the status of a branch that has ended by itself. */
export function statusOfKind(kind: HeuristicKind): Status {
  return STATUS_OF_KIND[kind];
}

/** @param isRollbackOnly whether commit is ruled out. */
export function statusOf(
  { state, heuristic, endedAt }: Pick<TransactionSummary, 'state' | 'heuristic' | 'endedAt'>,
  isRollbackOnly = false,
): Status {
  if (endedAt !== null && heuristic !== null) return STATUS_OF_KIND[heuristic];
  return state === 'ACTIVE' && isRollbackOnly ? 'TransactionRollbackOnly' : STATUS_OF_STATE[state];
}

/** @returns undefined while the outcome is pending. */
export function statusOfOutcome(outcome: Outcome): Status | undefined {
  switch (outcome.status) {
    case 'committed':
      return 'TransactionCommitted';
    case 'aborted':
      return 'TransactionRolledBack';
    case 'heuristic':
      return STATUS_OF_KIND[outcome.heuristic];
    case 'pending':
      return undefined;
  }
}

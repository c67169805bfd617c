/**
 * The states of a transaction, in the order in which they are numbered.
 *
 * @publicApi
 */
export const STATES = [
  'ACTIVE',
  'PREPARING',
  'READY',
  'COMMITTING',
  'ABORTING',
  'COMMITTED',
  'ABORTED',
] as const;

/** The name of a state. @publicApi */
export type TransactionState = (typeof STATES)[number];

/** A state as the core keeps it: the index of its name in {@link STATES}. */
export type StateNumber = number;

export const ACTIVE: StateNumber = 0;
export const PREPARING: StateNumber = 1;
export const READY: StateNumber = 2;
export const COMMITTING: StateNumber = 3;
export const ABORTING: StateNumber = 4;
export const COMMITTED: StateNumber = 5;
export const ABORTED: StateNumber = 6;

/**
 * Every legal step from one state to the next. Each step of a transaction is checked against this table, and
 * the table in docs/design.md is generated from it.
 *
 * Source of the shape: Gray and Lamport, "Consensus on Transaction Commit", section 3; READY is their
 * "prepared" seen from the coordinator.
 *
 * @publicApi
 */
export const LEGAL_TRANSITIONS: Readonly<Record<TransactionState, readonly TransactionState[]>> = {
  ACTIVE: ['PREPARING', 'ABORTING'],
  PREPARING: ['READY', 'ABORTING'],
  READY: ['COMMITTING', 'ABORTING'],
  COMMITTING: ['COMMITTED'],
  ABORTING: ['ABORTED'],
  COMMITTED: [],
  ABORTED: [],
};

/** The same table as one bit set of next states for each state, so that a check is one shift. */
const NEXT_STATES: readonly number[] = STATES.map((state) =>
  LEGAL_TRANSITIONS[state].reduce((set, next) => set | (1 << STATES.indexOf(next)), 0),
);

/** @returns whether the table has a step from `from` to `to`. */
export function isLegal(from: StateNumber, to: StateNumber): boolean {
  return ((NEXT_STATES[from]! >> to) & 1) === 1;
}

/** @returns whether the decision is commit. */
export function isCommit(state: StateNumber): boolean {
  return state === COMMITTING || state === COMMITTED;
}

/** @returns whether the decision is abort. */
export function isAbort(state: StateNumber): boolean {
  return state === ABORTING || state === ABORTED;
}

/** @returns whether a request for rollback still leads to abort. */
export function isUndecided(state: StateNumber): boolean {
  return state === ACTIVE || state === PREPARING;
}

/** A step that {@link LEGAL_TRANSITIONS} does not have. This is always a defect of the coordinator. */
export class IllegalTransitionError extends Error {
  readonly code = 'DTC_ILLEGAL_TRANSITION';

  constructor(
    readonly from: TransactionState,
    readonly to: TransactionState,
  ) {
    super(
      `A transaction cannot go from ${from} to ${to}: this is a defect of the coordinator, please report it.`,
    );
    this.name = 'IllegalTransitionError';
  }
}

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

/**
 * The states by their numbers. A `const enum`, as all numbers of the core: the compiler writes them into the
 * code that uses them. V8 would read a constant of another module at each use.
 */
export const enum State {
  ACTIVE,
  PREPARING,
  READY,
  COMMITTING,
  ABORTING,
  COMMITTED,
  ABORTED,
}

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
  return state === State.COMMITTING || state === State.COMMITTED;
}

/** @returns whether the decision is abort. */
export function isAbort(state: StateNumber): boolean {
  return state === State.ABORTING || state === State.ABORTED;
}

/** @returns whether a request for rollback still leads to abort. */
export function isUndecided(state: StateNumber): boolean {
  return state === State.ACTIVE || state === State.PREPARING;
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

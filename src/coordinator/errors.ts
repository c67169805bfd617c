/**
 * The stable codes of everything the coordinator refuses. A code never changes its meaning.
 *
 * @publicApi
 */
export type CoordinatorErrorCode =
  | 'DTC_ACTION_REFUSED'
  | 'DTC_BRANCH_CONFLICT'
  | 'DTC_BRANCH_NOT_FOUND'
  | 'DTC_DRAINING'
  | 'DTC_DUPLICATE_PARTICIPANT'
  | 'DTC_DURABLE_LOG_NEEDED'
  | 'DTC_FENCED'
  | 'DTC_FORBIDDEN'
  | 'DTC_INVALID_METHOD'
  | 'DTC_INVALID_OPTIONS'
  | 'DTC_INVALID_PARTICIPANT'
  | 'DTC_INVALID_REQUEST'
  | 'DTC_IN_TRANSACTION'
  | 'DTC_LOG_BEHIND'
  | 'DTC_LOG_BROKEN'
  | 'DTC_LOG_DAMAGED'
  | 'DTC_LOG_FORMAT'
  | 'DTC_LOG_IN_USE'
  | 'DTC_LOG_NOT_OPENED'
  | 'DTC_LOG_STARTS_USED_UP'
  | 'DTC_LOG_UNAVAILABLE'
  | 'DTC_NOT_ACTIVE'
  | 'DTC_NOT_MANAGED'
  | 'DTC_NO_TRANSACTION'
  | 'DTC_OVERLOADED'
  | 'DTC_PARTICIPANT_NOT_CLAIMED'
  | 'DTC_PARTICIPANT_NOT_FOUND'
  | 'DTC_PARTICIPANT_PAUSED'
  | 'DTC_PARTICIPANT_STALLED'
  | 'DTC_RECORD_REFUSED'
  | 'DTC_SERVER_BUSY'
  | 'DTC_SHUTTING_DOWN'
  | 'DTC_TOO_MANY_BRANCHES'
  | 'DTC_TOO_MANY_STREAMS'
  | 'DTC_TRANSACTION_NOT_FOUND'
  | 'DTC_UNAUTHENTICATED'
  | 'DTC_UNKNOWN_PARTICIPANT';

/**
 * What the coordinator throws when it refuses something. Whenever it is thrown nothing has changed: no transaction was
 * begun, or the one that a branch was to be enlisted in goes on without it. Once begun, a transaction has an outcome.
 *
 * @publicApi
 */
export abstract class CoordinatorError extends Error {
  abstract readonly code: CoordinatorErrorCode;

  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}

/** A request names a participant that nobody registered. @publicApi */
export class UnknownParticipantError extends CoordinatorError {
  readonly code = 'DTC_UNKNOWN_PARTICIPANT';

  constructor(
    readonly participant: string,
    known: readonly string[],
  ) {
    super(
      `No participant "${participant}" is registered (registered: ${known.join(', ') || 'none'}). ` +
        'Decorate its class with @Participant and provide it in a module of the application.',
    );
  }
}

/** A transaction would have more branches than `maxBranches` allows. @publicApi */
export class TooManyBranchesError extends CoordinatorError {
  readonly code = 'DTC_TOO_MANY_BRANCHES';

  constructor(
    readonly branches: number,
    readonly maxBranches: number,
  ) {
    super(
      `A transaction takes at most ${maxBranches} branches, not ${branches}. Enlist fewer, or raise maxBranches.`,
    );
  }
}

/** A branch id is in use in this transaction, for another participant or another payload. @publicApi */
export class BranchConflictError extends CoordinatorError {
  readonly code = 'DTC_BRANCH_CONFLICT';

  constructor(
    readonly branchId: string,
    readonly participant: string,
    readonly enlisted: string,
  ) {
    super(
      participant === enlisted
        ? `The branch "${branchId}" of "${participant}" is enlisted already with another payload, which stands.`
        : `The branch "${branchId}" belongs to "${enlisted}" already and cannot be enlisted for "${participant}".`,
    );
  }
}

/** A branch was offered to a transaction that takes no more: its voting has begun, it is over, or rollback-only. @publicApi */
export class NotActiveError extends CoordinatorError {
  readonly code = 'DTC_NOT_ACTIVE';

  constructor(
    readonly transactionId: string,
    readonly state: string,
  ) {
    super(`The transaction ${transactionId} is ${state} and takes no more branches: enlist them before.`);
  }
}

/** As many transactions are in flight as `maxInFlight` allows. Safe to try again. @publicApi */
export class OverloadedError extends CoordinatorError {
  readonly code = 'DTC_OVERLOADED';

  constructor(readonly maxInFlight: number) {
    super(
      `The coordinator is full: ${maxInFlight} transactions are in flight. Try again, or raise maxInFlight.`,
    );
  }
}

/** The coordinator is going down and starts nothing any more. Safe to try again elsewhere. @publicApi */
export class ShuttingDownError extends CoordinatorError {
  readonly code = 'DTC_SHUTTING_DOWN';

  constructor() {
    super('The coordinator is shutting down and starts no new transaction. Try again at another instance.');
  }
}

/**
 * Another process decides in place of this one: it has claimed the decision log, or, where several members share the log, it
 * has fenced the epoch of this one. Safe to try again there.
 *
 * @publicApi
 */
export class FencedError extends CoordinatorError {
  readonly code = 'DTC_FENCED';

  /** @param epoch the epoch that was fenced, where several members share the log. */
  constructor(
    readonly coordinator: string,
    readonly epoch?: number,
  ) {
    super(
      epoch === undefined
        ? `Another process has claimed the decision log of "${coordinator}" and goes on in its place: this one starts ` +
            'nothing more. End this process, and give every coordinator that is to run a name of its own.'
        : `Epoch ${epoch} of "${coordinator}" was fenced: this member decides nothing more in it, and another member ` +
            'completes what it had decided. It goes on with a new epoch by itself; ask for the outcome by the id.',
    );
  }
}

/**
 * So many transactions await an operator that no more are taken for a participant that stalls. Safe to try again
 * once the participant is well.
 *
 * @publicApi
 */
export class ParticipantStalledError extends CoordinatorError {
  readonly code = 'DTC_PARTICIPANT_STALLED';

  constructor(
    readonly participant: string,
    readonly maxStalled: number,
  ) {
    super(
      `"${participant}" does not complete its branches, and the coordinator holds ${maxStalled} stalled ` +
        'transactions already. Mend the participant: the recovery job then empties the queue by itself.',
    );
  }
}

/** A request that makes no sense, with the field at fault. @publicApi */
export class InvalidRequestError extends CoordinatorError {
  readonly code = 'DTC_INVALID_REQUEST';

  constructor(
    readonly field: string,
    problem: string,
  ) {
    super(`${field} ${problem}.`);
  }
}

/** Impossible options: the application does not start. @publicApi */
export class InvalidOptionsError extends CoordinatorError {
  readonly code = 'DTC_INVALID_OPTIONS';

  constructor(
    readonly subject: string,
    readonly problems: readonly string[],
  ) {
    super(`The options of ${subject} cannot be used: ${problems.join('; ')}.`);
  }
}

/** A class that cannot be a participant: the application does not start. @publicApi */
export class InvalidParticipantError extends CoordinatorError {
  readonly code = 'DTC_INVALID_PARTICIPANT';

  constructor(
    readonly className: string,
    problem: string,
    remedy: string,
  ) {
    super(`${className} cannot be a participant: ${problem}. ${remedy}`);
  }
}

/** Two participants of one name: the application does not start. @publicApi */
export class DuplicateParticipantError extends CoordinatorError {
  readonly code = 'DTC_DUPLICATE_PARTICIPANT';

  constructor(
    readonly participant: string,
    readonly className: string,
    readonly other: string,
  ) {
    super(
      `${className} and ${other} are both registered as participant "${participant}". ` +
        'Give each a name of its own, and provide each class in one module only.',
    );
  }
}

/** No transaction of this id is known, or it ended too long ago. @publicApi */
export class TransactionNotFoundError extends CoordinatorError {
  readonly code = 'DTC_TRANSACTION_NOT_FOUND';

  constructor(readonly transactionId: string) {
    super(
      `No transaction ${transactionId} is known here: it never began, or it ended and is no longer kept.`,
    );
  }
}

/** An operator has drained the coordinator: it takes no new transaction. @publicApi */
export class DrainingError extends CoordinatorError {
  readonly code = 'DTC_DRAINING';

  constructor() {
    super('An operator has drained the coordinator: it takes no new transaction until it is undrained.');
  }
}

/** A request names a participant that an operator has paused. @publicApi */
export class ParticipantPausedError extends CoordinatorError {
  readonly code = 'DTC_PARTICIPANT_PAUSED';

  constructor(readonly participant: string) {
    super(`An operator has paused participant "${participant}": it takes no new branch until it is resumed.`);
  }
}

/** The decisions of this run end with its process, and the prepared branches of a participant do not. @publicApi */
export class DurableLogNeededError extends CoordinatorError {
  readonly code = 'DTC_DURABLE_LOG_NEEDED';

  constructor(readonly participant: string) {
    super(
      `What participant "${participant}" prepares outlives this process, and the decisions of this coordinator do not: after a ` +
        'crash its branches would hold their locks, and no one would know what was decided. Give CoordinatorModule a durable ' +
        '`log` and a `name`. Where that does not matter, as in a test, set `allowMemoryLog: true`; a participant that lists ' +
        'branches which end with the process has `preparesDurably = false`.',
    );
  }
}

/** A request names a participant that has not let this run of the coordinator in. @publicApi */
export class ParticipantNotClaimedError extends CoordinatorError {
  readonly code = 'DTC_PARTICIPANT_NOT_CLAIMED';

  constructor(readonly participant: string) {
    super(
      `Participant "${participant}" has not let this run of the coordinator in (yet), so no branch of it is begun. ` +
        'At the start, wait until the application has started; later, the log lines say why it refuses.',
    );
  }
}

/** An operator names a participant that is not registered. @publicApi */
export class ParticipantNotFoundError extends CoordinatorError {
  readonly code = 'DTC_PARTICIPANT_NOT_FOUND';

  constructor(readonly participant: string) {
    super(`No participant "${participant}" is registered.`);
  }
}

/** An operator names a branch that its transaction does not have. @publicApi */
export class BranchNotFoundError extends CoordinatorError {
  readonly code = 'DTC_BRANCH_NOT_FOUND';

  constructor(
    readonly transactionId: string,
    readonly branchId: string,
  ) {
    super(`Transaction ${transactionId} has no branch "${branchId}".`);
  }
}

/** What an operator asks for would turn a decision round, or makes no sense as things are. @publicApi */
export class ActionRefusedError extends CoordinatorError {
  readonly code = 'DTC_ACTION_REFUSED';
}

/** Something that needs a transaction was called outside any. @publicApi */
export class NoTransactionError extends CoordinatorError {
  readonly code = 'DTC_NO_TRANSACTION';

  /** @param caller what was called. */
  constructor(readonly caller: string) {
    super(
      `${caller} needs an ambient transaction, and there is none. Call it from a method decorated with ` +
        '@DistributedTransaction, or within Transaction.run().',
    );
  }
}

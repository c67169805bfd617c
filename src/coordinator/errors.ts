/**
 * The stable codes of all refusals of the coordinator. A code never changes its meaning.
 *
 * @publicApi
 */
export type CoordinatorErrorCode =
  | 'DTC_ACTION_REFUSED'
  | 'DTC_ADDRESS_REFUSED'
  | 'DTC_ASK_LATER'
  | 'DTC_BRANCH_CONFLICT'
  | 'DTC_BRANCH_NOT_FOUND'
  | 'DTC_COORDINATOR_UNREACHABLE'
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
  | 'DTC_KEY_REUSED'
  | 'DTC_LOG_BEHIND'
  | 'DTC_LOG_BROKEN'
  | 'DTC_LOG_DAMAGED'
  | 'DTC_LOG_FORMAT'
  | 'DTC_LOG_IN_USE'
  | 'DTC_LOG_NOT_OPENED'
  | 'DTC_LOG_STARTS_USED_UP'
  | 'DTC_LOG_UNAVAILABLE'
  | 'DTC_MEMBER_UNREACHABLE'
  | 'DTC_MESSAGE_NOT_FOUND'
  | 'DTC_NOT_ACTIVE'
  | 'DTC_NOT_MANAGED'
  | 'DTC_NO_TRANSACTION'
  | 'DTC_OTHER_MEMBER'
  | 'DTC_OTHER_RUN'
  | 'DTC_OUTCOME_UNKNOWN'
  | 'DTC_OUTBOX_NOT_FOUND'
  | 'DTC_OVERLOADED'
  | 'DTC_PARTICIPANT_NOT_CLAIMED'
  | 'DTC_PARTICIPANT_NEEDED'
  | 'DTC_PARTICIPANT_NOT_FOUND'
  | 'DTC_PARTICIPANT_PAUSED'
  | 'DTC_PARTICIPANT_SILENT'
  | 'DTC_PARTICIPANT_STALLED'
  | 'DTC_RECORD_REFUSED'
  | 'DTC_SERVER_BUSY'
  | 'DTC_SHUTTING_DOWN'
  | 'DTC_TOO_MANY_BRANCHES'
  | 'DTC_TOO_MANY_EXPORTS'
  | 'DTC_TOO_MANY_STREAMS'
  | 'DTC_TRANSACTION_NOT_FOUND'
  | 'DTC_TWO_LAST_RESOURCES'
  | 'DTC_UNAUTHENTICATED'
  | 'DTC_UNKNOWN_PARTICIPANT'
  | 'DTC_WRONG_MEMBER';

/**
 * The base class of the coordinator's refusals. A refusal has changed nothing: no transaction was begun, or
 * the transaction that was to take a branch continues without it. A transaction that was begun has an
 * outcome.
 *
 * @publicApi
 */
export abstract class CoordinatorError extends Error {
  abstract readonly code: CoordinatorErrorCode;

  /** @param hasStack whether the error says where it was made. */
  constructor(message: string, hasStack = true) {
    const { stackTraceLimit } = Error;
    if (!hasStack) limitStackTraces(0);
    super(message);
    if (!hasStack) limitStackTraces(stackTraceLimit);
    this.name = new.target.name;
  }
}

/**
 * A refusal because of load comes thousands of times a second, when the processor has the least time. Half of its cost is the
 * list of the calls that led to it, which says nothing: it is the same for all of them.
 */
export const WITHOUT_STACK = false;

/** A program may have frozen it: then the error has its stack. */
function limitStackTraces(limit: number): void {
  Reflect.set(Error, 'stackTraceLimit', limit);
}

/** The base class of the refusals of a coordinator in another process, whose codes may be those of another version. @publicApi */
export abstract class RefusedElsewhereError extends Error {
  abstract readonly code: string;
}

/** A request names a participant that is not registered. @publicApi */
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

/** Two branches of a transaction cannot prepare. Each of them would decide. @publicApi */
export class TwoLastResourcesError extends CoordinatorError {
  readonly code = 'DTC_TWO_LAST_RESOURCES';

  constructor(
    readonly participant: string,
    readonly enlisted: string,
  ) {
    super(
      `"${participant}" cannot prepare, and neither can "${enlisted}", which the transaction has already: if one of them committed and ` +
        'the other did not, nothing could undo it. Do the work of one of them in another transaction, or after this one has committed.',
    );
  }
}

/**
 * A branch id is already in use in this transaction, for another participant or another payload. @publicApi
 */
export class BranchConflictError extends CoordinatorError {
  readonly code = 'DTC_BRANCH_CONFLICT';

  constructor(
    readonly branchId: string,
    readonly participant: string,
    readonly enlisted: string,
  ) {
    super(
      participant === enlisted
        ? `The branch "${branchId}" of "${participant}" is already enlisted with another payload, which stays unchanged. ` +
            'Give the second branch its own id: branch(participant, payload, { branchId }).'
        : `The branch "${branchId}" already belongs to "${enlisted}" and cannot be enlisted for "${participant}", so it was not added. ` +
            'Give it its own id: branch(participant, payload, { branchId }).',
    );
  }
}

/**
 * A branch was offered to a transaction that takes no more: its voting has started, it has ended, or it is
 * rollback-only. @publicApi
 */
export class NotActiveError extends CoordinatorError {
  readonly code = 'DTC_NOT_ACTIVE';

  constructor(
    readonly transactionId: string,
    readonly state: string,
  ) {
    super(
      `The transaction ${transactionId} is ${state} and takes no more branches, so this one was not added. Enlist every branch ` +
        'before commit or rollback is called and before the deadline, or begin another transaction.',
    );
  }
}

/** The number of transactions in flight has reached `maxInFlight`. Safe to try again. @publicApi */
export class OverloadedError extends CoordinatorError {
  readonly code = 'DTC_OVERLOADED';

  constructor(readonly maxInFlight: number) {
    super(
      `The coordinator is full: ${maxInFlight} transactions are in flight, so this one was not begun. Try again later, or raise maxInFlight.`,
      WITHOUT_STACK,
    );
  }
}

/** The coordinator is shutting down and starts nothing more. Safe to try again elsewhere. @publicApi */
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
        ? `Another process has claimed the decision log of "${coordinator}" and continues in its place: this one starts ` +
            'nothing more. End this process, and give every running coordinator a name of its own.'
        : `Epoch ${epoch} of "${coordinator}" was fenced: this member decides nothing more in it, and another member ` +
            'completes what it had decided. It goes on with a new epoch by itself; ask for the outcome by the id.',
    );
  }
}

/**
 * The number of transactions that wait for an operator has reached `maxStalled`, so a participant with stalled branches gets no
 * more branches. It is safe to try again when the participant works.
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
      `"${participant}" does not complete its branches, and the coordinator already holds ${maxStalled} stalled ` +
        'transactions. Repair the participant: the recovery job then completes them by itself.',
      WITHOUT_STACK,
    );
  }
}

/**
 * The participant has not answered its last prepares in time. A few transactions ask it all the same, and this one is not
 * among them.
 *
 * @publicApi
 */
export class ParticipantSilentError extends CoordinatorError {
  readonly code = 'DTC_PARTICIPANT_SILENT';
  /** When the next one is admitted, in milliseconds, from 1. */
  readonly retryAfterMs: number;

  /** @param waitMs until the next one is admitted. */
  constructor(
    readonly participant: string,
    waitMs: number,
  ) {
    super(
      `"${participant}" has not answered its last prepares in time, so only a few transactions ask it now. It was not asked to do ` +
        'anything: try again later. Restore the participant: after its first answer in time all transactions ask it again.',
      WITHOUT_STACK,
    );
    this.retryAfterMs = Math.max(1, Math.ceil(waitMs));
  }
}

/** An invalid request, with the field at fault. @publicApi */
export class InvalidRequestError extends CoordinatorError {
  readonly code = 'DTC_INVALID_REQUEST';

  constructor(
    readonly field: string,
    problem: string,
  ) {
    super(`${field} ${problem}.`);
  }
}

/** The key of a request belongs to an earlier request with another fingerprint. Nothing was begun. @publicApi */
export class KeyReusedError extends CoordinatorError {
  readonly code = 'DTC_KEY_REUSED';

  /** @param transactionId the transaction of the earlier request. */
  constructor(readonly transactionId: string) {
    super(
      `The key of this request belongs to another request, whose transaction is ${transactionId}, so nothing was begun. Give every ` +
        'request a key of its own, and repeat a request with the same fingerprint. If that transaction has aborted, the key is free ' +
        'as soon as the log knows that every branch is rolled back: then send the request again.',
    );
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
      `No transaction ${transactionId} is known here: it was never begun, or it ended and is no longer kept. ` +
        'Check the id. The options retainFinished and retainFinishedMs say how long an ended transaction is kept.',
    );
  }
}

/** An operator has drained the coordinator: it takes no new transaction. @publicApi */
export class DrainingError extends CoordinatorError {
  readonly code = 'DTC_DRAINING';

  constructor() {
    super(
      'An operator has drained the coordinator: it takes no new transaction until it is undrained. Try again later, or at another ' +
        'instance. An operator ends this with the action undrain.',
    );
  }
}

/** A request names a participant that an operator has paused. @publicApi */
export class ParticipantPausedError extends CoordinatorError {
  readonly code = 'DTC_PARTICIPANT_PAUSED';

  constructor(readonly participant: string) {
    super(
      `An operator has paused participant "${participant}": it takes no new branch until it is resumed. Try again later. ` +
        'An operator ends this with the action resume.',
    );
  }
}

/**
 * Prepared branches of a participant outlive the process, but the decisions of this run do not. @publicApi
 */
export class DurableLogNeededError extends CoordinatorError {
  readonly code = 'DTC_DURABLE_LOG_NEEDED';

  constructor(readonly participant: string) {
    super(
      `The prepared branches of participant "${participant}" outlive this process, but the decisions of this coordinator do not: after a ` +
        'crash its branches would hold their locks, and their decisions would be lost. Give CoordinatorModule a durable ' +
        '`log` and a `name`. If the loss is acceptable, as in a test, set `allowMemoryLog: true`. A participant that lists ' +
        'branches which end with the process must set `preparesDurably = false`.',
    );
  }
}

/** A request names a participant that has not accepted this run of the coordinator. @publicApi */
export class ParticipantNotClaimedError extends CoordinatorError {
  readonly code = 'DTC_PARTICIPANT_NOT_CLAIMED';

  constructor(readonly participant: string) {
    super(
      `Participant "${participant}" has not accepted this run of the coordinator (yet), so no branch of it is started. ` +
        'During the start, wait until the application has started. Later, see the log lines for the reason of the refusal.',
    );
  }
}

/** An operator names a participant that is not registered. @publicApi */
export class ParticipantNotFoundError extends CoordinatorError {
  readonly code = 'DTC_PARTICIPANT_NOT_FOUND';

  constructor(readonly participant: string) {
    super(
      `No participant "${participant}" is registered, so nothing was done. The list of participants has the names.`,
    );
  }
}

/** An operator names an outbox that this process does not have. @publicApi */
export class OutboxNotFoundError extends CoordinatorError {
  readonly code = 'DTC_OUTBOX_NOT_FOUND';

  /** @param names of those that it has. */
  constructor(
    readonly outbox: string,
    names: readonly string[],
  ) {
    const known =
      names.length === 0
        ? 'It has none: give OutboxModule to this application'
        : `It has ${names.join(', ')}`;
    super(`This process has no outbox "${outbox}", so nothing was done. ${known}.`);
  }
}

/** An operator names a message that is not dead. @publicApi */
export class MessageNotFoundError extends CoordinatorError {
  readonly code = 'DTC_MESSAGE_NOT_FOUND';

  constructor(
    readonly outbox: string,
    readonly messageId: string,
  ) {
    super(
      `The outbox "${outbox}" has no dead message "${messageId}". It was sent again or deleted meanwhile, or there is none.`,
    );
  }
}

/** An operator names a branch that its transaction does not have. @publicApi */
export class BranchNotFoundError extends CoordinatorError {
  readonly code = 'DTC_BRANCH_NOT_FOUND';

  constructor(
    readonly transactionId: string,
    readonly branchId: string,
  ) {
    super(
      `Transaction ${transactionId} has no branch "${branchId}", so nothing was done. The view of the transaction has its branches.`,
    );
  }
}

/** An operator's order would change a decision, or is not possible in the present state. @publicApi */
export class ActionRefusedError extends CoordinatorError {
  readonly code = 'DTC_ACTION_REFUSED';
}

/** A function that needs a transaction was called outside any. @publicApi */
export class NoTransactionError extends CoordinatorError {
  readonly code = 'DTC_NO_TRANSACTION';

  /** @param caller the function that was called. */
  constructor(readonly caller: string) {
    super(
      `${caller} needs an ambient transaction, and there is none. Call it from a method decorated with ` +
        '@DistributedTransaction, or within Transaction.run().',
    );
  }
}

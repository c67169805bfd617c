import { AsyncLocalStorage } from 'node:async_hooks';
import { type Answer, answerOf } from '../gate/answer.js';
import { type Failure, failureOf } from '../gate/failure.js';
import { follow, followSound, isSound } from '../gate/settled.js';
import { GivenBranch } from '../participant/given-branch.js';
import type { Branch } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { TransactionScope } from '../transaction-scope.js';
import type { BranchRecord, TransactionRecord } from './records.js';
import type { CallTrace, ParticipantMethod } from './trace.js';

/**
 * The transaction for which the current code runs. Each call has a context of its own, so several calls under
 * one `Promise.all` do not see each other's transaction. A transaction that has ended is not ambient
 * anywhere.
 */
export class AmbientTransactions {
  /** The place of the calling code with respect to decorated methods. */
  readonly scope = new TransactionScope<object>();
  private readonly storage = new AsyncLocalStorage<TransactionRecord | undefined>();
  /** Most applications never run code for a transaction, and the store need not be asked then. */
  private isUsed = false;

  /**
   * Runs `work`, and everything that it starts, with this transaction as the ambient one, and as a part of
   * its trace.
   */
  run<T>(transaction: TransactionRecord, work: () => T): T {
    const trace = transaction.extras?.trace;
    this.isUsed = true;
    return this.storage.run(transaction, trace === undefined ? work : () => trace.run(work));
  }

  /** Whether the calling code runs for a transaction, or below a decorated method. */
  get isEntered(): boolean {
    return (this.isUsed && this.storage.getStore() !== undefined) || this.scope.isEntered;
  }

  /**
   * Runs what the coordinator does by itself. The transaction of the code that has asked for it may be
   * another one: participants and listeners do not see that.
   */
  leave<T>(work: () => T): T {
    return this.isEntered ? this.scope.leave(() => this.storage.run(undefined, work)) : work();
  }

  current(): TransactionRecord | undefined {
    const transaction = this.storage.getStore();
    return transaction === undefined || transaction.endedAt !== 0 ? undefined : transaction;
  }
}

/** The refusal of a paused participant, which was not called and so holds nothing. */
const REFUSED_WHILE_PAUSED = {
  vote: 'abort',
  code: 'PARTICIPANT_PAUSED',
  reason: 'an operator has paused the participant',
  temporary: true,
} as const;

/**
 * Answers for a paused participant that would have to vote or decide. The answer arrives like its own, after
 * this function has returned.
 */
export function refuseWhilePaused(branch: BranchRecord): void {
  void Promise.resolve(REFUSED_WHILE_PAUSED).then(branch.fulfilled);
}

/**
 * The refusal of a last resource that was not called, since a branch that waits for it could not commit any
 * more.
 */
const REFUSED_AFTER_EXPIRY = {
  vote: 'abort',
  code: 'VOTE_EXPIRED',
  reason: 'a vote expired before the last resource was called',
  temporary: true,
} as const;

/** Answers for a last resource, as {@link refuseWhilePaused} does for a paused participant. */
export function refuseAfterExpiry(branch: BranchRecord): void {
  void Promise.resolve(REFUSED_AFTER_EXPIRY).then(branch.fulfilled);
}

/**
 * The refusal of a branch that decides and was not called: the log took the record that names it only after
 * the deadline.
 */
const REFUSED_AFTER_DEADLINE = {
  vote: 'abort',
  code: 'DEADLINE_PASSED',
  reason: 'the deadline of the transaction passed before the branch that decides was called',
  temporary: true,
} as const;

/** Answers for a branch that decides, as {@link refuseWhilePaused} does for a paused participant. */
export function refuseAfterDeadline(branch: BranchRecord): void {
  void Promise.resolve(REFUSED_AFTER_DEADLINE).then(branch.fulfilled);
}

/**
 * Calls a participant. It may answer at once or later, fail, or never answer. The result comes back through
 * one of the two callbacks, at most once, and never before this function has returned. Of the transaction of
 * the calling code it sees nothing.
 *
 * @param fulfilled receives the answer, to be read with `answerOf`.
 * @param rejected receives the error, to be read with `failureOf`.
 */
export function callParticipant(
  participant: RegisteredParticipant,
  method: ParticipantMethod,
  branch: Branch,
  transaction: TransactionRecord,
  ambient: AmbientTransactions,
  fulfilled: (value: unknown) => void,
  rejected: (error: unknown) => void,
): void {
  if (ambient.isEntered) {
    ambient.leave(() =>
      callParticipant(participant, method, branch, transaction, ambient, fulfilled, rejected),
    );
    return;
  }
  const given = new GivenBranch(branch);
  if (participant.ambient || transaction.extras?.trace !== undefined) {
    callInContext(participant, method, branch, given, transaction, ambient, fulfilled, rejected);
  } else callOutside(participant, method, given, fulfilled, rejected);
}

/**
 * As {@link callParticipant}, for the first prepare: the record of the branch follows its answer. The calling code has left every
 * transaction, once for all branches of one. Each kind of first call has a function of its own, so that V8 compiles it into its caller.
 *
 * @param given what the participant receives of the branch.
 */
export function callToPrepare(branch: BranchRecord, given: GivenBranch, ambient: AmbientTransactions): void {
  const { participant, transaction } = branch;
  if (participant.ambient || transaction.extras?.trace !== undefined) {
    callFirstInContext(branch, 'prepare', given, ambient);
    return;
  }
  let answer: unknown;
  try {
    answer = participant.instance.prepare(given);
  } catch (error) {
    answer = Promise.reject(error);
  }
  followFirst(branch, answer);
}

/** As {@link callToPrepare}, for the first commit. */
export function callToCommit(branch: BranchRecord, given: GivenBranch, ambient: AmbientTransactions): void {
  const { participant, transaction } = branch;
  if (participant.ambient || transaction.extras?.trace !== undefined) {
    callFirstInContext(branch, 'commit', given, ambient);
    return;
  }
  let answer: unknown;
  try {
    answer = participant.instance.commit(given);
  } catch (error) {
    answer = Promise.reject(error);
  }
  followFirst(branch, answer);
}

function followFirst({ fulfilled, rejected }: BranchRecord, answer: unknown): void {
  if (!followSound(answer, fulfilled, rejected)) followOdd(answer, fulfilled, rejected);
}

function callFirstInContext(
  branch: BranchRecord,
  method: ParticipantMethod,
  given: GivenBranch,
  ambient: AmbientTransactions,
): void {
  const { participant, transaction, fulfilled, rejected } = branch;
  callInContext(participant, method, branch, given, transaction, ambient, fulfilled, rejected);
}

function callOutside(
  participant: RegisteredParticipant,
  method: ParticipantMethod,
  given: GivenBranch,
  fulfilled: (value: unknown) => void,
  rejected: (error: unknown) => void,
): void {
  let answer: unknown;
  try {
    answer = invoke(participant, method, given);
  } catch (error) {
    followOdd(Promise.reject(error), fulfilled, rejected);
    return;
  }
  if (!followSound(answer, fulfilled, rejected)) followOdd(answer, fulfilled, rejected);
}

/** Follows what is no native promise, and the error of a call. */
function followOdd(
  answer: unknown,
  fulfilled: (value: unknown) => void,
  rejected: (error: unknown) => void,
): void {
  void asPromise(answer).then(fulfilled, rejected);
}

/** As {@link callParticipant}, for a call that has an ambient transaction or is traced. */
function callInContext(
  participant: RegisteredParticipant,
  method: ParticipantMethod,
  branch: Branch,
  received: GivenBranch,
  transaction: TransactionRecord,
  ambient: AmbientTransactions,
  fulfilled: (value: unknown) => void,
  rejected: (error: unknown) => void,
): void {
  const trace = transaction.extras?.trace?.calling(participant, method, branch);
  let promise: Promise<unknown>;
  try {
    promise = participant.ambient
      ? ambient.run(transaction, () => start(participant, method, received, trace))
      : start(participant, method, received, trace);
  } catch (error) {
    promise = Promise.reject(error);
  }
  if (trace === undefined) void promise.then(fulfilled, rejected);
  else void promise.then(...traced(trace, fulfilled, rejected));
}

/** @returns the answer as a native promise. */
function start(
  participant: RegisteredParticipant,
  method: ParticipantMethod,
  branch: Branch,
  trace: CallTrace | undefined,
): Promise<unknown> {
  if (trace !== undefined) return startTraced(trace, participant, method, branch);
  return asPromise(invoke(participant, method, branch));
}

function asPromise(answer: unknown): Promise<unknown> {
  if (isSound(answer)) return answer;
  if (typeof answer !== 'object' && typeof answer !== 'function') return Promise.resolve(answer);
  return followed(answer);
}

function startTraced(
  trace: CallTrace,
  participant: RegisteredParticipant,
  method: ParticipantMethod,
  branch: Branch,
): Promise<unknown> {
  return trace.run(() => start(participant, method, branch, undefined));
}

/** The object is read before the promise is resolved with it, which would read its `then` again. */
function followed(answer: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    follow(answer, (value) => resolve(answerOf(value)), reject);
  });
}

/** The trace of a call ends before its answer takes effect. */
function traced(
  trace: CallTrace,
  fulfilled: (answer: Answer) => void,
  rejected: (failure: Failure) => void,
): [(value: unknown) => void, (error: unknown) => void] {
  return [
    (value) => {
      const answer = answerOf(value);
      trace.answered(answer);
      fulfilled(answer);
    },
    (error) => {
      const failure = failureOf(error);
      trace.failed(failure);
      rejected(failure);
    },
  ];
}

function invoke(participant: RegisteredParticipant, method: ParticipantMethod, branch: Branch): unknown {
  const { instance } = participant;
  switch (method) {
    case 'prepare':
      return instance.prepare(branch);
    case 'commit':
      return instance.commit(branch);
    case 'rollback':
      return instance.rollback(branch);
    case 'commitOnePhase':
      return instance.commitOnePhase!(branch);
  }
}

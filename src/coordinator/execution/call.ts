import { AsyncLocalStorage } from 'node:async_hooks';
import { type Answer, answerOf } from '../gate/answer.js';
import { type Failure, failureOf } from '../gate/failure.js';
import { GivenBranch } from '../gate/given-branch.js';
import { follow, isSound } from '../gate/settled.js';
import type { Branch } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { BranchRecord, TransactionRecord } from './records.js';
import type { CallTrace, ParticipantMethod } from './trace.js';

/**
 * The transaction that code is running for, without being handed it. Each call has a context of its own, so several
 * under one `Promise.all` do not see each other's; and a transaction that is over is the ambient one of no code.
 */
export class AmbientTransactions {
  private readonly storage = new AsyncLocalStorage<TransactionRecord>();

  /** Runs `work`, and everything it starts, with this transaction as the ambient one, and as a part of its trace. */
  run<T>(transaction: TransactionRecord, work: () => T): T {
    const trace = transaction.extras?.trace;
    return this.storage.run(transaction, trace === undefined ? work : () => trace.run(work));
  }

  current(): TransactionRecord | undefined {
    const transaction = this.storage.getStore();
    return transaction === undefined || transaction.endedAt !== 0 ? undefined : transaction;
  }
}

/** The refusal that stands in for the answer of a paused participant: it was not called, so it holds nothing. */
const REFUSED_WHILE_PAUSED = {
  vote: 'abort',
  code: 'PARTICIPANT_PAUSED',
  reason: 'an operator has paused the participant',
  temporary: true,
} as const;

/** Answers in place of a paused participant that was to vote, or to decide: as its own answer, after this has returned. */
export function refuseWhilePaused(branch: BranchRecord): void {
  void Promise.resolve(REFUSED_WHILE_PAUSED).then(branch.fulfilled);
}

/**
 * Calls a participant, which may answer at once, later, with a throw or never; whatever it does comes back through
 * one of the two callbacks, once, and never before this function has returned.
 *
 * @param fulfilled gets the answer, to be read with `answerOf`.
 * @param rejected gets what was thrown, to be read with `failureOf`.
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
  const trace = transaction.extras?.trace?.calling(participant, method, branch);
  const given = new GivenBranch(branch);
  let promise: Promise<unknown>;
  try {
    promise = participant.options.ambient
      ? ambient.run(transaction, () => start(participant, method, given, trace))
      : start(participant, method, given, trace);
  } catch (error) {
    promise = Promise.reject(error);
  }
  if (trace === undefined) void promise.then(fulfilled, rejected);
  else void promise.then(...traced(trace, fulfilled, rejected));
}

/** @returns the answer as a sound promise. What a thenable does when it is asked belongs to the call as well. */
function start(
  participant: RegisteredParticipant,
  method: ParticipantMethod,
  branch: Branch,
  trace: CallTrace | undefined,
): Promise<unknown> {
  if (trace !== undefined) return trace.run(() => start(participant, method, branch, undefined));
  const answer = invoke(participant, method, branch);
  if (isSound(answer)) return answer;
  if (typeof answer !== 'object' && typeof answer !== 'function') return Promise.resolve(answer);
  // An object is read before the promise is resolved with it, which would follow it once more.
  return new Promise((resolve, reject) => {
    follow(answer, (value) => resolve(answerOf(value)), reject);
  });
}

/** The trace of a call ends before its answer has any consequence. */
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

import type { AmbientTransactions } from './ambient.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { Branch } from '../participant/participant.js';
import type { CallTrace } from './tracing.js';
import type { TransactionRecord } from './transaction-record.js';

/** A method of a participant that gets a branch. */
export type ParticipantMethod = 'prepare' | 'commit' | 'rollback' | 'commitOnePhase';

/**
 * Calls a participant, which may answer at once, later, with a throw or never; whatever it does comes back through
 * one of the two callbacks, once, and never before this function has returned.
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
  let promise: Promise<unknown>;
  try {
    promise = participant.options.ambient
      ? ambient.run(transaction, () => start(participant, method, branch, trace))
      : start(participant, method, branch, trace);
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
  return answer instanceof Promise && isSound(answer) ? answer : adopt(answer);
}

/** The trace of a call ends before its answer has any consequence. */
function traced(
  trace: CallTrace,
  fulfilled: (value: unknown) => void,
  rejected: (error: unknown) => void,
): [(value: unknown) => void, (error: unknown) => void] {
  return [
    (value) => {
      trace.answered(value);
      fulfilled(value);
    },
    (error) => {
      trace.failed(error);
      rejected(error);
    },
  ];
}

/** Whether it calls back as promises do: once, and not at once. A subclass, and a changed `then`, may not. */
function isSound(promise: Promise<unknown>): boolean {
  try {
    return promise.then === Promise.prototype.then && promise.constructor === Promise;
  } catch {
    return false;
  }
}

/** @returns a promise that is sound, whatever the answer is made of. */
function adopt(answer: unknown): Promise<unknown> {
  return answer instanceof Promise ? new Promise((resolve) => resolve(answer)) : Promise.resolve(answer);
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

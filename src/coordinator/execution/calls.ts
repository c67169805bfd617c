import type { AmbientTransactions } from './ambient.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { Branch } from '../participant/participant.js';
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
  let result: unknown;
  try {
    result = participant.options.ambient
      ? ambient.run(transaction, () => invoke(participant, method, branch))
      : invoke(participant, method, branch);
  } catch (error) {
    result = Promise.reject(error);
  }
  const promise = result instanceof Promise && isSound(result) ? result : adopt(result);
  void promise.then(fulfilled, rejected);
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

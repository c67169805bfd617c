import { Logger } from '@nestjs/common';
import type { BranchEnd } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { includes, isCommit } from '../protocol/index.js';
import type { BranchRecord } from './branch-record.js';
import { settled } from '../gate/settled.js';
import { messageOf } from './incident.js';
import type { TransactionRecord } from './transaction-record.js';

const logger = new Logger('BranchEvents');

/** Tells a participant that wants to hear of it that a branch of its own has been enlisted. */
export function tellStarted({ transactionId, branchId, payload, participant }: BranchRecord): void {
  void call(participant, 'branchStarted', () =>
    participant.instance.branchStarted?.({ transactionId, branchId, payload }),
  );
}

/** The transaction is over: tells the participants that want to hear of it how their branches have ended. */
export function tellEnded(transaction: TransactionRecord): void {
  for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
    const { participant } = branch;
    if (!participant.hearsEnds) continue;
    const end = endOf(branch);
    void call(participant, 'branchEnded', () => participant.instance.branchEnded?.(end));
  }
}

function endOf(branch: BranchRecord): BranchEnd {
  const { transactionId, branchId, heuristic } = branch;
  if (heuristic !== undefined) return { transactionId, branchId, state: 'heuristic', heuristic };
  return { transactionId, branchId, state: stateOf(branch) };
}

function stateOf({ transaction, index }: BranchRecord): Exclude<BranchEnd['state'], 'heuristic'> {
  if (includes(transaction.readOnly, index)) return 'read-only';
  if (includes(transaction.refused, index)) return 'refused';
  return isCommit(transaction.state) ? 'committed' : 'rolled-back';
}

/** What the participant throws, at once or later, is its own defect, and goes no further. */
async function call(participant: RegisteredParticipant, method: string, tell: () => unknown): Promise<void> {
  const ended = await settled(tell);
  if (!('error' in ended)) return;
  participant.defects++;
  say(`${method}() of "${participant.name}" failed: ${messageOf(ended.error)}`);
}

/** @param owner whose the signal was. */
export function listenerFailed(owner: string, error: unknown): void {
  say(`A listener of the signal of ${owner} failed: ${messageOf(error)}`);
}

function say(message: string): void {
  try {
    logger.error(message);
  } catch {
    // A logger that fails must not end the process.
  }
}

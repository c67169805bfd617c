import type { BranchSet } from '../../src/coordinator/protocol/branch-set.js';
import { includes } from '../../src/coordinator/protocol/branch-set.js';
import type { ProtocolEffects } from '../../src/coordinator/protocol/effects.js';
import { STATES, type StateNumber } from '../../src/coordinator/protocol/states.js';
import { Decider, ProtocolTransaction, type Told } from '../../src/coordinator/protocol/transaction.js';
import { enlist, enlistLastResource, requestCommit } from '../../src/coordinator/protocol/voting.js';

const TOLD = ['nothing', 'committed', 'aborted', 'pending', 'heuristic'] as const;

/** A driver that carries nothing out: it writes down what the core asks for, in words and in order. */
export class RecordingEffects implements ProtocolEffects<ProtocolTransaction> {
  private lines: string[] = [];

  /** @returns the effects since the last call. */
  take(): string[] {
    const { lines } = this;
    this.lines = [];
    return lines;
  }

  entered(transaction: ProtocolTransaction, from: StateNumber): void {
    this.lines.push(`${STATES[from]} to ${STATES[transaction.state]}`);
  }

  prepare(): void {
    this.lines.push('prepare');
  }

  commitOnePhase(): void {
    this.lines.push('commit in one phase');
  }

  record(): void {
    this.lines.push('record');
  }

  confirm(): void {
    this.lines.push('confirm');
  }

  cancel(): void {
    this.lines.push('cancel');
  }

  commit(_: ProtocolTransaction, branches: BranchSet): void {
    this.lines.push(`commit ${indexes(branches)}`);
  }

  rollback(_: ProtocolTransaction, branches: BranchSet): void {
    this.lines.push(`roll back ${indexes(branches)}`);
  }

  tell(_: ProtocolTransaction, told: Told): void {
    this.lines.push(`tell ${TOLD[told]}`);
  }

  stalled(_: ProtocolTransaction, branch: number): void {
    this.lines.push(`stalled ${branch}`);
  }

  ended(): void {
    this.lines.push('ended');
  }
}

/** @returns the branches of a set in words: `0 2`. */
export function indexes(branches: BranchSet): string {
  return Array.from({ length: 31 }, (_, index) => index)
    .filter((index) => includes(branches, index))
    .join(' ');
}

/** @returns a transaction with so many branches that has not been asked to commit. */
export function activeWith(size: number): ProtocolTransaction {
  const transaction = new ProtocolTransaction();
  for (let branch = 0; branch < size; branch++) enlist(transaction);
  return transaction;
}

/** @returns a transaction whose last branch, of so many, is a last resource. */
export function activeWithLast(size: number): ProtocolTransaction {
  const transaction = activeWith(size - 1);
  enlistLastResource(transaction);
  return transaction;
}

/**
 * @returns a transaction whose branches have all been asked to prepare. The record does not have these
 * effects.
 */
export function preparingWith(size: number, effects: RecordingEffects): ProtocolTransaction {
  const transaction = activeWith(size);
  requestCommit(transaction, Decider.LOG, effects);
  effects.take();
  return transaction;
}

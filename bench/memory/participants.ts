import {
  type Branch,
  Participant,
  type TransactionParticipant,
  type Vote,
} from '../../src/coordinator/index.js';
import { runOf } from '../../test/support/identity.js';

/** What the participants of the benchmark are asked to do. */
export interface Work {
  readonly item: string;
}

export const WORK: Work = { item: 'book' };

/** Three services that have nothing to do and say so asynchronously. */
@Participant({ name: 'first' })
export class First implements TransactionParticipant<Work> {
  async prepare(): Promise<Vote> {
    return 'commit';
  }
  async commit(): Promise<void> {}
  async rollback(): Promise<void> {}
}

@Participant({ name: 'second' })
export class Second implements TransactionParticipant<Work> {
  async prepare(): Promise<Vote> {
    return 'commit';
  }
  async commit(): Promise<void> {}
  async rollback(): Promise<void> {}
}

@Participant({ name: 'third' })
export class Third implements TransactionParticipant<Work> {
  async prepare(): Promise<Vote> {
    return 'commit';
  }
  async commit(): Promise<void> {}
  async rollback(): Promise<void> {}
}

/** Three participants, whatever they do. */
export type Trio<P = Work> = readonly [
  TransactionParticipant<P>,
  TransactionParticipant<P>,
  TransactionParticipant<P>,
];

/** What the floor hands to its participants, who expect a branch. */
export function bareBranch<P>(payload: P): Branch<P> {
  const { signal } = new AbortController();
  return {
    transactionId: 'floor',
    branchId: 'floor',
    payload,
    deadline: 0,
    signal,
    attempt: 0,
    run: runOf(),
  };
}

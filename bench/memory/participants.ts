import {
  type Branch,
  Participant,
  type TransactionParticipant,
  type Vote,
} from '../../src/coordinator/index.js';
import { runOf } from '../../test/support/identity.js';

/** The payloads of the participants of the benchmark. */
export interface Work {
  readonly item: string;
}

export const WORK: Work = { item: 'book' };

/** Three services that do nothing, and answer asynchronously. */
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

/** The argument that the floor passes to its participants, which expect a branch. */
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

import type { BranchRequest } from './participant/branch-request.js';

/** The options of `TransactionManager.begin`. @publicApi */
export interface BeginOptions {
  /** The purpose of the transaction, for logs and listings. At most 100 characters. @default 'transaction' */
  readonly name?: string;
  /**
   * The time limit of the transaction until its decision, in milliseconds, from 1 to 86_400_000.
   *
   * @default the coordinator's `timeoutMs`
   */
  readonly timeoutMs?: number;
  /** Aborts the transaction, as long as its voting has not ended. */
  readonly signal?: AbortSignal;
  /**
   * Whether the participants always prepare one after the other, in the order in which they were registered,
   * instead of all at once. This takes the sum of their times. But if many transactions need the same rows of
   * several databases, they queue, and never wait for each other in a circle, which no database can detect.
   * By default the coordinator does this by itself while there are conflicts. After a refusal the remaining
   * participants are not asked. The time-out of each prepare counts from its own turn.
   *
   * @default false
   */
  readonly prepareInTurn?: boolean;
}

/** The request of `TransactionManager.run`. @publicApi */
export interface TransactionRequest extends BeginOptions {
  /** The branches. A transaction without branches commits at once. */
  readonly branches: readonly BranchRequest<never>[] | readonly BranchRequest[];
}

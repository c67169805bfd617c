import type { BranchRequest } from './participant/branch-request.js';

/** What `TransactionManager.begin` takes. @publicApi */
export interface BeginOptions {
  /** What the transaction is for: in logs and listings. At most 100 characters. @default 'transaction' */
  readonly name?: string;
  /**
   * How long it may take until its decision, in milliseconds, from 1 to 86_400_000.
   *
   * @default the coordinator's `timeoutMs`
   */
  readonly timeoutMs?: number;
  /** Aborts the transaction, as long as its voting has not ended. */
  readonly signal?: AbortSignal;
  /**
   * Whether the participants always prepare one after the other, in the order in which they were registered, and not
   * all at once. It takes the sum of their times. But where many transactions want the same rows of several databases,
   * they queue, and never wait for each other in a circle, which no database can see. Left out, the coordinator does so
   * by itself while there are conflicts. A refusal keeps the rest from being asked. The time-out of each prepare counts
   * from its own turn.
   *
   * @default false
   */
  readonly prepareInTurn?: boolean;
}

/** What `TransactionManager.run` takes. @publicApi */
export interface TransactionRequest extends BeginOptions {
  /** The branches, all known beforehand. None at all commits at once. */
  readonly branches: readonly BranchRequest<never>[] | readonly BranchRequest[];
}

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

/** The key of a request that must not run twice. @publicApi */
export interface KeyOptions {
  /**
   * What tells the request from all other requests of the coordinator: 1 to 200 printable ASCII characters. It is reserved
   * before anything begins. A later request with the key begins nothing: it gets the outcome of the first one, marked as
   * `repeated`, or `pending`: then send the request again to learn the outcome. The id in a `pending` is that of one attempt,
   * which may be aborted while the request runs again after a conflict. Once the transaction has aborted and all is undone, the
   * key is free.
   *
   * A log that several members share keeps the key for all members, across crashes, as long as it keeps outcomes. With any
   * other log the key ends with the process: it is kept for 24 hours, for at most the latest 100,000 commits. To recognise a
   * repeated request after a restart as well, let a participant write the key together with its changes.
   *
   * @default the request has no key: each repeat is a new transaction
   */
  readonly key?: string;
  /**
   * What tells the request from another one with the same key, such as a hash of its content: at most 200 printable ASCII
   * characters. With a key, a request with another fingerprint is refused.
   *
   * @default '' all requests with the key are taken for the same
   */
  readonly fingerprint?: string;
}

/** The options of `TransactionManager.beginOnce`. @publicApi */
export interface BeginOnceOptions extends BeginOptions, KeyOptions {
  readonly key: string;
}

/** The request of `TransactionManager.run`. @publicApi */
export interface TransactionRequest extends BeginOptions, KeyOptions {
  /** The branches. A transaction without branches commits at once. */
  readonly branches: readonly BranchRequest<never>[] | readonly BranchRequest[];
}

/** The changes of one transaction: one entry in each list for each change, in order. */
export interface Batch {
  readonly kinds: ArrayLike<number>;
  /** The key of a record, or the prefix of all keys to remove. */
  readonly keys: readonly string[];
  /** The number of bytes of each body. */
  readonly lengths: ArrayLike<number>;
  /** The bodies, one after the other. */
  readonly bodies: Uint8Array<ArrayBuffer>;
}

export const PUT = 0;
export const REMOVE = 1;
export const REMOVE_ALL = 2;

/** Stored records, as many as fit into one message. */
export interface Rows {
  readonly keys: readonly string[];
  readonly lengths: Uint32Array;
  readonly bodies: Uint8Array<ArrayBuffer>;
}

/** The result of opening a log. */
export interface Found {
  /** The id of the log; undefined when it is new. */
  readonly logId: string | undefined;
  /** A finding for the operator that stops nothing. */
  readonly warning: string | undefined;
}

/** The claim of a start: the id of a new log, and the record of the start. */
export interface Claim {
  readonly logId: string;
  readonly key: string;
  readonly body: Uint8Array;
}

/** The result of a batch. */
export interface Written {
  /** The refusals, decided before anything was written, by place in the batch. */
  readonly refused: readonly (readonly [index: number, problem: string])[];
  /** The time until the rest was flushed, in milliseconds; undefined when nothing was written. */
  readonly flushMs: number | undefined;
}

/** Why a request failed. */
export type Failure =
  | { readonly kind: 'in-use' }
  | { readonly kind: 'damaged'; readonly record: string; readonly problem: string }
  | { readonly kind: 'format'; readonly found: number }
  | { readonly kind: 'former'; readonly file: string }
  /** There was no room: nothing was written, and it can be tried again. */
  | { readonly kind: 'full'; readonly problem: string }
  /** Any other error: the state of the log is unknown until the next start. */
  | { readonly kind: 'failed'; readonly problem: string };

export type Request = { readonly id: number } & (
  | { readonly type: 'open'; readonly folder: string }
  | { readonly type: 'claim'; readonly claim: Claim }
  | { readonly type: 'write'; readonly batch: Batch }
  | { readonly type: 'holds'; readonly key: string }
  | { readonly type: 'close' }
);

export type Response =
  | { readonly rows: Rows }
  | { readonly id: number; readonly result: Found | Written | boolean | undefined }
  | { readonly id: number; readonly failure: Failure };

/** Carries a failure to the code that answers it. */
export class LogFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.kind);
    this.failure = failure;
  }
}

/** What is done to the records, in one transaction: one entry of each list for each of them, in their order. */
export interface Batch {
  readonly kinds: Uint8Array;
  /** The key of a record, or what the keys of all that are removed begin with. */
  readonly keys: readonly string[];
  /** How many bytes of the bodies belong to each. */
  readonly lengths: Uint32Array;
  /** The bodies, one after the other. */
  readonly bodies: Uint8Array<ArrayBuffer>;
}

export const PUT = 0;
export const REMOVE = 1;
export const REMOVE_ALL = 2;

/** Records as they are stored, as many as go into one message. */
export interface Rows {
  readonly keys: readonly string[];
  readonly lengths: Uint32Array;
  readonly bodies: Uint8Array<ArrayBuffer>;
}

/** What a start finds. */
export interface Found {
  /** The id of the log; undefined when it is new. */
  readonly logId: string | undefined;
  /** What an operator must know, and what stops nothing. */
  readonly warning: string | undefined;
}

/** The claim of a start: what the log is called from now on, if it is new, and the record of the start. */
export interface Claim {
  readonly logId: string;
  readonly key: string;
  readonly body: Uint8Array;
}

/** What became of a batch. */
export interface Written {
  /** What was refused, before anything was written, by its place in the batch. */
  readonly refused: readonly (readonly [index: number, problem: string])[];
  /** How long it took until the rest was flushed, in milliseconds; undefined when there was nothing to write. */
  readonly flushMs: number | undefined;
}

/** Why something was not done. */
export type Failure =
  | { readonly kind: 'in-use' }
  | { readonly kind: 'damaged'; readonly record: string; readonly problem: string }
  | { readonly kind: 'format'; readonly found: number }
  | { readonly kind: 'former'; readonly file: string }
  /** There was no room: nothing was written, and it can be tried again. */
  | { readonly kind: 'full'; readonly problem: string }
  /** Any other error: nothing more can be known of the log until the next start. */
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

/** Carries a failure to where it is answered. */
export class LogFailure extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(failure.kind);
    this.failure = failure;
  }
}

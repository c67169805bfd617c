import { InvalidRequestError } from '../errors.js';
import { copyOf, describeAnswer, messageOf } from '../gate/texts.js';
import { MAX_DURATION_MS } from '../option-fields.js';
import { type Attributes, attributesIn } from './attributes.js';
import type { BranchRequest } from './branch-request.js';
import { REQUEST_ID } from './caller-note.js';

export type { Attributes } from './attributes.js';

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
  /**
   * Keys of the business, such as `{ orderId: '4711' }`: shown in views, log lines, events and spans, found
   * by a search, and kept with the decision. They are no secret.
   *
   * @default none
   */
  readonly attributes?: Attributes;
  /**
   * The id of the request that began it, such as the `X-Request-Id` of an HTTP request: in the lines of the
   * log about the transaction, shown in views, and kept with the decision. 1 to 200 visible ASCII characters.
   * It is no secret.
   *
   * @default none
   */
  readonly requestId?: string;
}

/** The key of a request that must not run twice. @publicApi */
export interface KeyOptions {
  /**
   * What tells the request from all other requests of the coordinator: 1 to 200 printable ASCII characters.
   * It is reserved before anything begins. A later request with the key begins nothing: it gets the outcome
   * of the first one, marked as `repeated`, or `pending`: then send the request again to learn the outcome.
   * The id in a `pending` is that of one attempt, which may be aborted while the request runs again after a
   * conflict. Once the transaction has aborted and all is undone, the key is free.
   *
   * A log that several members share keeps the key for all members, across crashes, as long as it keeps
   * outcomes. With any other log the key ends with the process: it is kept for 24 hours, for at most the
   * latest 100,000 commits. To recognise a repeated request after a restart as well, let a participant write
   * the key together with its changes.
   *
   * @default the request has no key: each repeat is a new transaction
   */
  readonly key?: string;
  /**
   * What tells the request from another one with the same key, such as a hash of its content: at most 200
   * printable ASCII characters. With a key, a request with another fingerprint is refused.
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

const MAX_NAME_LENGTH = 100;
/** The form of a key. A fingerprint has the same, and may be empty. */
const KEY = /^[\x20-\x7e]{1,200}$/;

/** The fields of a request, or of the options of a transaction, each read once. */
export interface ReadRequest {
  readonly name: string | undefined;
  readonly timeoutMs: number | undefined;
  /** Undefined if the request has none of these fields. */
  readonly rare: RareFields | undefined;
  readonly branches: readonly unknown[];
  readonly branchCount: number;
}

/** The fields that most requests do not have. Kept apart, they cost the others one comparison. */
export interface RareFields {
  readonly prepareInTurn: boolean;
  readonly attributes: Attributes | undefined;
  readonly requestId: string | undefined;
  readonly signal: unknown;
  readonly requestKey: { readonly key: string; readonly fingerprint: string } | undefined;
}

const NO_BRANCHES: readonly unknown[] = [];

/**
 * @param takesBranches whether it is a request, with all its branches.
 * @throws InvalidRequestError when a field is invalid, or cannot be read.
 */
export function readRequest(request: Partial<TransactionRequest>, takesBranches: boolean): ReadRequest {
  let name: unknown;
  let timeoutMs: unknown;
  let rare: Given | undefined;
  let branches: unknown = NO_BRANCHES;
  let branchCount = 0;
  try {
    ({ name, timeoutMs } = request);
    rare = givenIn(request);
    if (takesBranches) {
      ({ branches } = request);
      if (Array.isArray(branches)) branchCount = branches.length;
    }
  } catch (error) {
    throw new InvalidRequestError('request', `must be an object with the branches: ${messageOf(error)}`);
  }
  if (!isList(branches, branchCount)) throw new InvalidRequestError('branches', 'must be a list of branches');
  return {
    name: nameIn(name),
    timeoutMs: timeoutIn(timeoutMs),
    rare: rare && rareFieldsOf(rare),
    branches,
    branchCount,
  };
}

type Given = Readonly<
  Record<'prepareInTurn' | 'attributes' | 'requestId' | 'signal' | 'key' | 'fingerprint', unknown>
>;

/** @returns the rare fields as they are given; undefined if none is. */
function givenIn(request: Partial<TransactionRequest>): Given | undefined {
  const { prepareInTurn, attributes, requestId, signal, key, fingerprint } = request;
  if (prepareInTurn === undefined && attributes === undefined && requestId === undefined) {
    if (signal === undefined && key === undefined && fingerprint === undefined) return undefined;
  }
  return { prepareInTurn, attributes, requestId, signal, key, fingerprint };
}

function rareFieldsOf({ prepareInTurn, attributes, requestId, signal, key, fingerprint }: Given): RareFields {
  return {
    prepareInTurn: turnsIn(prepareInTurn),
    attributes: attributesIn(attributes),
    requestId: requestIdIn(requestId),
    signal,
    requestKey: key === undefined && fingerprint === undefined ? undefined : keyIn(key, fingerprint),
  };
}

function nameIn(name: unknown): string | undefined {
  if (name === undefined) return undefined;
  if (typeof name !== 'string' || name.length > MAX_NAME_LENGTH) {
    throw new InvalidRequestError('name', `must be a text of at most ${MAX_NAME_LENGTH} characters`);
  }
  return name;
}

function timeoutIn(timeoutMs: unknown): number | undefined {
  if (timeoutMs === undefined) return undefined;
  if (!Number.isInteger(timeoutMs) || (timeoutMs as number) < 1 || (timeoutMs as number) > MAX_DURATION_MS) {
    const given = typeof timeoutMs === 'number' ? String(timeoutMs) : describeAnswer(timeoutMs);
    throw new InvalidRequestError(
      'timeoutMs',
      `must be a whole number from 1 to ${MAX_DURATION_MS}, not ${given}`,
    );
  }
  return timeoutMs as number;
}

function keyIn(key: unknown, fingerprint: unknown = ''): { key: string; fingerprint: string } {
  if (typeof key !== 'string' || !KEY.test(key)) {
    const why = key === undefined ? 'is needed with a fingerprint, and ' : '';
    throw new InvalidRequestError('key', `${why}must be a text of 1 to 200 printable ASCII characters`);
  }
  if (typeof fingerprint !== 'string' || (fingerprint !== '' && !KEY.test(fingerprint))) {
    throw new InvalidRequestError('fingerprint', 'must be a text of at most 200 printable ASCII characters');
  }
  return { key, fingerprint };
}

function requestIdIn(requestId: unknown): string | undefined {
  if (requestId === undefined) return undefined;
  if (typeof requestId !== 'string' || !REQUEST_ID.test(requestId)) {
    throw new InvalidRequestError('requestId', 'must be 1 to 200 visible ASCII characters');
  }
  return copyOf(requestId);
}

function turnsIn(prepareInTurn: unknown): boolean {
  if (prepareInTurn === undefined) return false;
  if (typeof prepareInTurn !== 'boolean') {
    throw new InvalidRequestError('prepareInTurn', 'must be true or false');
  }
  return prepareInTurn;
}

/** The length of a list behind a Proxy may be any value. */
function isList(branches: unknown, branchCount: unknown): branches is readonly unknown[] {
  return Array.isArray(branches) && Number.isSafeInteger(branchCount) && (branchCount as number) >= 0;
}

import { InvalidRequestError } from '../errors.js';
import { MAX_DURATION_MS } from '../option-fields.js';
import type { BranchRequest } from '../participant/branch-request.js';
import type { TransactionRequest } from '../transaction-request.js';
import { describeAnswer, messageOf } from './texts.js';

const MAX_NAME_LENGTH = 100;
/** The form of a key. A fingerprint has the same, and may be empty. */
const KEY = /^[\x20-\x7e]{1,200}$/;

/** The fields of a request, or of the options of a transaction, each read once. */
export interface ReadRequest {
  readonly name: string | undefined;
  readonly timeoutMs: number | undefined;
  readonly prepareInTurn: boolean;
  readonly signal: unknown;
  readonly requestKey: { readonly key: string; readonly fingerprint: string } | undefined;
  readonly branches: readonly unknown[];
  readonly branchCount: number;
}

const NO_BRANCHES: readonly unknown[] = [];

/**
 * @param takesBranches whether it is a request, with all its branches.
 * @throws InvalidRequestError when a field is invalid, or cannot be read.
 */
export function readRequest(request: Partial<TransactionRequest>, takesBranches: boolean): ReadRequest {
  let name: unknown;
  let timeoutMs: unknown;
  let prepareInTurn: unknown;
  let signal: unknown;
  let key: unknown;
  let fingerprint: unknown;
  let branches: unknown = NO_BRANCHES;
  let branchCount = 0;
  try {
    ({ name, timeoutMs, prepareInTurn, signal, key, fingerprint } = request);
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
    prepareInTurn: turnsIn(prepareInTurn),
    signal,
    requestKey: key === undefined && fingerprint === undefined ? undefined : keyIn(key, fingerprint),
    branches,
    branchCount,
  };
}

/** @throws InvalidRequestError when there is no branch at that place, or it cannot be read. */
export function branchAt(branches: readonly unknown[], index: number): BranchRequest {
  let branch: unknown;
  try {
    branch = branches[index];
  } catch (error) {
    throw unreadableBranch(error);
  }
  return readBranch(branch);
}

/**
 * @returns the branch that the caller wants to enlist, each field read once. The content of the payload is
 * not read.
 * @throws InvalidRequestError when it is not a branch, or cannot be read.
 */
export function readBranch(request: unknown): BranchRequest {
  try {
    const { participant, payload, branchId } = request as BranchRequest;
    return { participant, payload, branchId };
  } catch (error) {
    throw unreadableBranch(error);
  }
}

function unreadableBranch(error: unknown): InvalidRequestError {
  return new InvalidRequestError('branch', `must be made by branch(): ${messageOf(error)}`);
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

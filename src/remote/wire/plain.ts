import { REQUEST_ID, TRACEPARENT, TRACESTATE } from '../../coordinator/participant/caller-note.js';
import {
  BRANCH_ID,
  type BranchCall,
  type Envelope,
  LOG_ID,
  MAX_ATTEMPT,
  MAX_EPOCH,
  MAX_TIME_MS,
  MAX_TOKEN_LENGTH,
  NAME,
  type WireRun,
} from './calls.js';
import { MAX_CALLS, WIRE_VERSION } from './limits.js';

/**
 * The messages of a transaction in which nothing goes wrong, read without their schemas, which take many
 * times as long. What is read here is what the schema reads from the same value. Everything else is left to
 * the schema.
 */

/** As `originOf` reads an id, in one look. */
const TRANSACTION_ID = /^[^.]+\.[0-9a-z]{12}\.[1-9a-z][0-9a-z]{0,3}\.[1-9][0-9]{0,12}$/;
const MAX_ID_LENGTH = 64;

/** @returns undefined for what is no message, or cannot be read here. Its calls are not read. */
export function plainEnvelope(value: unknown): Envelope | undefined {
  if (!isRecord(value) || value['version'] !== WIRE_VERSION) return undefined;
  const { participant, calls } = value;
  if (typeof participant !== 'string' || !NAME.test(participant)) return undefined;
  if (!Array.isArray(calls) || calls.length === 0 || calls.length > MAX_CALLS) return undefined;
  const run = plainRun(value['run']);
  return run && { version: WIRE_VERSION, participant, run, calls };
}

function plainRun(value: unknown): WireRun | undefined {
  if (!isRecord(value)) return undefined;
  const { name, logId, epoch, token, durable, isShared } = value;
  if (typeof name !== 'string' || !NAME.test(name)) return undefined;
  if (typeof logId !== 'string' || !LOG_ID.test(logId)) return undefined;
  if (!isWhole(epoch, 1, MAX_EPOCH) || typeof durable !== 'boolean') return undefined;
  if (typeof token !== 'string' || token.length === 0 || token.length > MAX_TOKEN_LENGTH) return undefined;
  if (isShared !== undefined && typeof isShared !== 'boolean') return undefined;
  return { name, logId, epoch, token, durable, isShared };
}

/** @returns undefined for what is not the call of a branch, or cannot be read here. */
export function plainBranchCall(value: unknown): BranchCall | undefined {
  if (!isRecord(value)) return undefined;
  const { method, transactionId, branchId, attempt, timeLeftMs, traceparent, tracestate, requestId } = value;
  if (method !== 'prepare' && method !== 'commit' && method !== 'rollback' && method !== 'commitOnePhase') {
    return undefined;
  }
  if (typeof transactionId !== 'string' || transactionId.length > MAX_ID_LENGTH) return undefined;
  if (!TRANSACTION_ID.test(transactionId)) return undefined;
  if (typeof branchId !== 'string' || !BRANCH_ID.test(branchId)) return undefined;
  if (!isWhole(attempt, 0, MAX_ATTEMPT) || !isWhole(timeLeftMs, 1, MAX_TIME_MS)) return undefined;
  if (traceparent !== undefined && (typeof traceparent !== 'string' || !TRACEPARENT.test(traceparent))) {
    return undefined;
  }
  return {
    timeLeftMs,
    traceparent,
    tracestate: noteIn(tracestate, TRACESTATE),
    method,
    transactionId,
    branchId,
    payload: value['payload'],
    attempt,
    requestId: noteIn(requestId, REQUEST_ID),
  };
}

/** @returns undefined for what has not the form: nothing depends on it. */
function noteIn(value: unknown, form: RegExp): string | undefined {
  return typeof value === 'string' && form.test(value) ? value : undefined;
}

/** An answer of a transaction in which nothing goes wrong. */
type PlainAnswer =
  | { readonly id: number; readonly kind: 'done' }
  | { readonly id: number; readonly kind: 'vote'; readonly vote: 'commit' | 'read-only' | 'abort' };

/** @returns undefined for what is neither `done` nor a vote without a reason, or cannot be read here. */
export function plainAnswer(value: unknown): PlainAnswer | undefined {
  if (!isRecord(value)) return undefined;
  const { id, kind, vote } = value;
  if (!isWhole(id, 0, MAX_CALLS - 1)) return undefined;
  if (kind === 'done') return { id, kind };
  if (kind !== 'vote') return undefined;
  return vote === 'commit' || vote === 'read-only' || vote === 'abort' ? { id, kind, vote } : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
}

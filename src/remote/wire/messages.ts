import { describeIssues } from '../../coordinator/describe-issues.js';
import type { WireAnswer } from './answers.js';
import { type Envelope, type WireCall, type WireRun, callSchema, envelopeSchema } from './calls.js';
import { MAX_MESSAGE_BYTES, WIRE_VERSION } from './limits.js';
import { plainBranchCall, plainEnvelope } from './plain.js';

/** Without its payload, which a sender holds as JSON. */
type WithoutPayload = WireCall extends infer C ? (C extends unknown ? Omit<C, 'payload'> : never) : never;

/** A call, as its sender writes it. @publicApi */
export type OutgoingCall = WithoutPayload & {
  /** The JSON of the payload; undefined when there is none. */
  readonly payloadText?: string | undefined;
};

/** A message of a coordinator: calls of one of its runs to one participant. @publicApi */
export interface OutgoingMessage {
  readonly participant: string;
  readonly run: WireRun;
  readonly calls: readonly OutgoingCall[];
}

/** A call that cannot be read. Its answer says so. */
export interface UnreadableCall {
  readonly problem: string;
}

/** A message, as its host reads it. @publicApi */
export interface IncomingMessage {
  readonly participant: string;
  readonly run: WireRun;
  /** In the order of the message. An answer bears the place of its call. */
  readonly calls: readonly (WireCall | UnreadableCall)[];
}

/** Why a whole message was refused: nothing of it was done. @publicApi */
export class WireError extends Error {
  constructor(
    readonly code: 'DTC_WIRE_INVALID' | 'DTC_WIRE_VERSION',
    message: string,
  ) {
    super(message);
    this.name = 'WireError';
  }
}

/** @returns one call as JSON. */
export function encodeCall(call: OutgoingCall): string {
  if ('transactionId' in call) return encodeBranchCall(call);
  const { payloadText, ...rest } = call;
  const text = JSON.stringify(rest);
  return payloadText === undefined ? text : `${text.slice(0, -1)},"payload":${payloadText}}`;
}

/** Nearly all calls are of a branch, and JSON.stringify takes several times as long for them. */
function encodeBranchCall(call: Extract<OutgoingCall, { readonly transactionId: string }>): string {
  const { method, transactionId, branchId, attempt, timeLeftMs, payloadText } = call;
  const { traceparent, tracestate, requestId } = call;
  let notes = traceparent === undefined ? '' : `,"traceparent":${JSON.stringify(traceparent)}`;
  if (tracestate !== undefined) notes += `,"tracestate":${JSON.stringify(tracestate)}`;
  if (requestId !== undefined) notes += `,"requestId":${JSON.stringify(requestId)}`;
  const payload = payloadText === undefined ? '' : `,"payload":${payloadText}`;
  return (
    `{"method":"${method}","transactionId":${JSON.stringify(transactionId)},"branchId":${JSON.stringify(branchId)}` +
    `,"attempt":${attempt},"timeLeftMs":${timeLeftMs}${notes}${payload}}`
  );
}

/** @param calls each as {@link encodeCall} makes it. */
export function encodeMessage(participant: string, run: WireRun, calls: readonly string[]): string {
  return messageOf(headOf(participant, run), calls);
}

/** @returns the beginning of all messages of a run to a participant, for {@link messageOf}. */
export function headOf(participant: string, run: WireRun): string {
  const { name, logId, epoch, token, durable, isShared } = run;
  const head = JSON.stringify({
    version: WIRE_VERSION,
    participant,
    run: { name, logId, epoch, token, durable, isShared },
  });
  return `${head.slice(0, -1)},"calls":[`;
}

/** @param calls each as {@link encodeCall} makes it. */
export function messageOf(head: string, calls: readonly string[]): string {
  return `${head}${calls.length === 1 ? calls[0]! : calls.join(',')}]}`;
}

/**
 * Reads a message of a coordinator.
 *
 * @param value read from JSON.
 * @throws WireError when it is not a message, or one of another version. A single call that cannot be read
 * refuses only itself.
 */
export function decodeMessage(value: unknown): IncomingMessage {
  const { participant, run, calls } = plainEnvelope(value) ?? envelopeIn(value);
  return { participant, run, calls: calls.map(decodeCall) };
}

/** @throws WireError */
function envelopeIn(value: unknown): Envelope {
  const parsed = envelopeSchema.safeParse(value);
  if (!parsed.success) {
    const { version } = (value ?? {}) as { readonly version?: unknown };
    if (Number.isInteger(version) && version !== WIRE_VERSION) {
      throw new WireError(
        'DTC_WIRE_VERSION',
        `This host reads messages of version ${WIRE_VERSION}, not ${String(version)}, so nothing was done. Update the older of the two.`,
      );
    }
    throw invalid(describeIssues(parsed.error).join('; '));
  }
  return parsed.data;
}

function decodeCall(value: unknown): WireCall | UnreadableCall {
  const plain = plainBranchCall(value);
  if (plain !== undefined) return plain;
  const call = callSchema.safeParse(value);
  return call.success ? call.data : { problem: describeIssues(call.error).join('; ') };
}

/** @returns one answer as a line of JSON. */
export function encodeAnswer(answer: WireAnswer): string {
  return `${JSON.stringify(answer)}\n`;
}

/** @returns groups of calls, each with at most this number of calls and bytes. A larger call is alone. */
export function inMessages<C extends { readonly text: string }>(
  calls: readonly C[],
  maxCalls: number,
  maxBytes = MAX_MESSAGE_BYTES - 1024,
): C[][] {
  const groups: C[][] = [];
  let bytes = Infinity;
  for (const call of calls) {
    const size = Buffer.byteLength(call.text) + 1;
    const group = groups.at(-1);
    if (group === undefined || group.length >= maxCalls || bytes + size > maxBytes) {
      groups.push([call]);
      bytes = size;
    } else {
      group.push(call);
      bytes += size;
    }
  }
  return groups;
}

function invalid(problem: string): WireError {
  return new WireError(
    'DTC_WIRE_INVALID',
    `This is not a message of a coordinator, so nothing was done: ${problem}.`,
  );
}

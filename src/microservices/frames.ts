import { z } from 'zod';
import { MAX_CALLS } from '../remote/wire/index.js';

/** The name of the messages of coordinators, where a service has not chosen another one. */
export const DEFAULT_PATTERN = 'dtc.calls';
/** Parts of letters, digits, "-" and "_": no broker reads anything else into them. */
const PATTERN = /^[\w-]+(\.[\w-]+)*$/;
const MAX_PATTERN_LENGTH = 200;

/** A message from a coordinator to a host, over any transport of Nest. */
export interface CallsRequest {
  /** `Bearer <token>`. */
  readonly authorization: string;
  /** The calls, as JSON. It is a text, so that nothing on its way reads it, and its size is known. */
  readonly message: string;
}

/** Why a host has refused a whole message. */
export interface RefusalOfMessage {
  readonly code: string;
  readonly detail: string;
}

/** A message from a host: answers, each as JSON, or a refusal. */
export interface CallsResponse {
  readonly answers?: readonly string[] | undefined;
  readonly refusal?: RefusalOfMessage | undefined;
}

const requestSchema = z.object({ authorization: z.string().max(1_000), message: z.string() });

const responseSchema = z.union([
  z.object({ refusal: z.object({ code: z.string().max(100), detail: z.string().max(2_000) }) }),
  z.object({ answers: z.array(z.string()).max(MAX_CALLS) }),
]);

/** @returns undefined for everything else. */
export function readRequest(value: unknown): CallsRequest | undefined {
  return requestSchema.safeParse(value).data;
}

/** @returns undefined for everything else: that is not the answer of a participant host. */
export function readResponse(value: unknown): CallsResponse | undefined {
  return responseSchema.safeParse(value).data;
}

/** @returns the problem with the option `pattern`, if there is one. */
export function problemOfPattern(pattern: unknown): string | undefined {
  return typeof pattern === 'string' && pattern.length <= MAX_PATTERN_LENGTH && PATTERN.test(pattern)
    ? undefined
    : 'pattern: must be words of letters, digits, "-" and "_" with dots between them, such as "stock.calls"';
}

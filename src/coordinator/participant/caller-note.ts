/**
 * Where a transaction comes from, for people who look for it. Nothing depends on it. A field that is not
 * known here is of a later version.
 *
 * @publicApi
 */
export interface CallerNote {
  /** The trace context of the transaction, as W3C writes it. Its trace is that of its caller. */
  readonly traceparent?: string;
  /** The additions of tracing systems to the context, in the format of W3C. At most 512 characters. */
  readonly tracestate?: string;
  /** The id of the request that began it, as its caller has given it. */
  readonly requestId?: string;
}

/** The trace context of W3C, in the version that is written here. */
export const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;
/**
 * The length of a trace state that is kept: W3C asks for at least 512 characters, and a record has no room
 * for more.
 */
export const TRACESTATE = /^[\x20-\x7e]{1,512}$/;
/** The form of the id of a request, as a header carries it. */
export const REQUEST_ID = /^[\x21-\x7e]{1,200}$/;

/**
 * @returns the id of the trace, in a context whose form was checked: version, trace id, span id and flags.
 */
export function traceIdIn(traceparent: string | undefined): string | undefined {
  return traceparent?.slice(3, 35);
}

/**
 * Reads the id of a request from a header such as `X-Request-Id`, which anyone may have sent.
 *
 * @param header its value.
 * @returns the id, for `requestId` of `run` and `begin`; undefined for what is not 1 to 200 visible ASCII
 * characters: an id that cannot be kept is no reason to refuse a request.
 * @publicApi
 */
export function requestIdFrom(header: unknown): string | undefined {
  return typeof header === 'string' && REQUEST_ID.test(header) ? header : undefined;
}

/**
 * Reads the note of a record, which any version may have written.
 *
 * @returns the known fields that have the right form; undefined if there are none.
 */
export function callerIn(note: CallerNote | undefined): CallerNote | undefined {
  if (note === undefined) return undefined;
  const { traceparent, tracestate, requestId } = note;
  const hasTrace = traceparent !== undefined && TRACEPARENT.test(traceparent);
  const read: CallerNote = {
    ...(hasTrace && { traceparent }),
    ...(hasTrace && tracestate !== undefined && TRACESTATE.test(tracestate) && { tracestate }),
    ...(requestId !== undefined && REQUEST_ID.test(requestId) && { requestId }),
  };
  return Object.keys(read).length === 0 ? undefined : read;
}

/**
 * Where a line of the log belongs, beside its transaction. A transaction without a trace, or without the id
 * of a request, has no such field.
 *
 * @publicApi
 */
export interface OriginFields {
  /** The id of the request that began the transaction. */
  readonly requestId?: string;
  /** The trace of its caller. OpenTelemetry gives this field and the next their names. */
  readonly trace_id?: string;
  /** Its span in that trace. */
  readonly span_id?: string;
}

/** @param caller whose fields have their form. */
export function originOf({ traceparent, requestId }: CallerNote): OriginFields {
  return {
    ...(requestId !== undefined && { requestId }),
    ...(traceparent !== undefined && {
      trace_id: traceparent.slice(3, 35),
      span_id: traceparent.slice(36, 52),
    }),
  };
}

import {
  type Context,
  type SpanContext,
  context,
  createTraceState,
  isSpanContextValid,
  trace,
} from '@opentelemetry/api';
import { type CallerNote, TRACESTATE, callerIn } from '../../participant/caller-note.js';

/** A trace context, as the headers of W3C carry it. */
export type TraceNote = Pick<CallerNote, 'traceparent' | 'tracestate'>;

/**
 * @returns the context of a span as W3C writes it; undefined where the span has none that others could refer
 * to.
 */
export function traceNoteOf(span: SpanContext | undefined): TraceNote | undefined {
  if (span === undefined || !isSpanContextValid(span)) return undefined;
  const { traceId, spanId, traceFlags, traceState } = span;
  const flags = (traceFlags & 0xff).toString(16).padStart(2, '0');
  const tracestate = traceState?.serialize();
  return {
    traceparent: `00-${traceId}-${spanId}-${flags}`,
    ...(tracestate !== undefined && TRACESTATE.test(tracestate) && { tracestate }),
  };
}

/**
 * @returns the active span as W3C writes it; undefined if there is none, or if the context manager of the
 * application throws: a call does not depend on its trace. The guard of the coordinator's own spans reports
 * such an error.
 */
export function activeTrace(): TraceNote | undefined {
  try {
    return traceNoteOf(trace.getSpanContext(context.active()));
  } catch {
    return undefined;
  }
}

/** @returns the span that a note names; undefined if it names none. */
export function spanContextIn(note: TraceNote | undefined): SpanContext | undefined {
  const { traceparent, tracestate } = callerIn(note) ?? {};
  if (traceparent === undefined) return undefined;
  const [, traceId, spanId, flags] = traceparent.split('-') as [string, string, string, string];
  const span = {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    ...(tracestate !== undefined && { traceState: createTraceState(tracestate) }),
  };
  return isSpanContextValid(span) ? span : undefined;
}

/**
 * Runs the work for a request as a part of the trace that came with it. Where an instrumentation of HTTP has
 * made a span for the request, that one stays the active one.
 *
 * @param headers of the request; what is no trace context is ignored.
 */
export function inTraceOf<T>(headers: TraceNote, work: () => T): T {
  const surroundings = surroundingsOf(headers);
  // A transaction that begins in the work finds the same context manager, and reports its error.
  return surroundings === undefined ? work() : within(surroundings, work, () => {});
}

/**
 * @returns the context in which the span of the headers is active; undefined where another one is, or there
 * is none.
 */
function surroundingsOf(headers: TraceNote): Context | undefined {
  try {
    const active = context.active();
    if (trace.getSpanContext(active) !== undefined) return undefined;
    const span = spanContextIn(headers);
    return span && trace.setSpanContext(active, span);
  } catch {
    return undefined;
  }
}

/**
 * Runs `work` once in a context, even if the context manager fails.
 *
 * @param failed receives the error of the context manager.
 * @returns the result of `work`.
 * @throws the error of `work`.
 */
export function within<T>(surroundings: Context, work: () => T, failed: (error: unknown) => void): T {
  let ended: { readonly value: T } | { readonly error: unknown } | undefined;
  try {
    context.with(surroundings, () => {
      try {
        ended ??= { value: work() };
      } catch (error) {
        ended = { error };
      }
    });
  } catch (error) {
    failed(error);
  }
  if (ended === undefined) return work();
  if ('error' in ended) throw ended.error;
  return ended.value;
}

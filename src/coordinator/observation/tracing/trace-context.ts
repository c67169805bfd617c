import { type SpanContext, context, createTraceState, isSpanContextValid, trace } from '@opentelemetry/api';
import { type CallerNote, TRACESTATE, callerIn } from '../../participant/caller-note.js';

/** A trace context, as the headers of W3C carry it. */
export type TraceNote = Pick<CallerNote, 'traceparent' | 'tracestate'>;

/** @returns the context of a span as W3C writes it; undefined where the span has none that others could refer to. */
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

/** @returns the active span as W3C writes it; undefined if there is none. */
export function activeTrace(): TraceNote | undefined {
  return traceNoteOf(trace.getSpanContext(context.active()));
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
 * Runs the work for a request as a part of the trace that came with it. Where an instrumentation of HTTP has made a span for the
 * request, that one stays the active one.
 *
 * @param headers of the request; what is no trace context is ignored.
 */
export function inTraceOf<T>(headers: TraceNote, work: () => T): T {
  const active = context.active();
  if (trace.getSpanContext(active) !== undefined) return work();
  const span = spanContextIn(headers);
  return span === undefined ? work() : context.with(trace.setSpanContext(active, span), work);
}

import {
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  type Context,
  trace,
} from '@opentelemetry/api';
import type { CallAnswer, WireCall } from '../remote/wire/index.js';

/** The instrumentation scope of all spans. */
const SCOPE = 'nestjs-dtc';

/** Records a call as a span of OpenTelemetry, with the call of the coordinator as its parent. */
export function traced(
  participant: string,
  call: WireCall,
  serve: () => Promise<CallAnswer>,
): Promise<CallAnswer> {
  const tracer = registeredTracer();
  if (tracer === undefined) return serve();
  const { method, traceparent } = call;
  const attributes = {
    'dtc.participant': participant,
    ...('transactionId' in call && { 'dtc.transaction': call.transactionId, 'dtc.branch': call.branchId }),
  };
  const options = { kind: SpanKind.SERVER, attributes };
  return tracer.startActiveSpan(`dtc host ${method}`, options, parentIn(traceparent), (span) =>
    ended(span, serve()),
  );
}

/** @returns undefined while the application has registered no provider, since spans would then go nowhere. */
function registeredTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer(SCOPE)
    : provider.getTracer(SCOPE);
}

async function ended(span: Span, answer: Promise<CallAnswer>): Promise<CallAnswer> {
  const { kind, ...rest } = await answer;
  span.setAttribute('dtc.answer', kind);
  if (kind === 'error') span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
  return { kind, ...rest } as CallAnswer;
}

/** @param traceparent of the documented form. */
function parentIn(traceparent: string | undefined): Context {
  if (traceparent === undefined) return ROOT_CONTEXT;
  const [, traceId, spanId, flags] = traceparent.split('-') as [string, string, string, string];
  const traceFlags = Number.parseInt(flags, 16) & TraceFlags.SAMPLED;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
}

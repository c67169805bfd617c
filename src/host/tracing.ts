import {
  ProxyTracerProvider,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  type Context,
  trace,
} from '@opentelemetry/api';
import { spanContextIn } from '../coordinator/observation/tracing/trace-context.js';
import type { CallAnswer, WireCall } from '../remote/wire/index.js';
import type { HostLog } from './host-log.js';

/** The instrumentation scope of all spans. */
const SCOPE = 'nestjs-dtc';

/**
 * Records a call as a span of OpenTelemetry, with the call of the coordinator as its parent. The call is served once,
 * whatever the tracer does.
 *
 * @param serve never throws.
 */
export function traced(
  log: HostLog,
  participant: string,
  call: WireCall,
  serve: () => Promise<CallAnswer>,
): Promise<CallAnswer> {
  let served: Promise<CallAnswer> | undefined;
  const serveOnce = (): Promise<CallAnswer> => (served ??= serve());
  try {
    begin(log, participant, call, serveOnce);
  } catch (error) {
    log.defect('The tracer', error);
  }
  return serveOnce();
}

function begin(log: HostLog, participant: string, call: WireCall, serve: () => Promise<CallAnswer>): void {
  const tracer = registeredTracer();
  if (tracer === undefined) return;
  const { method } = call;
  const attributes = {
    'dtc.participant': participant,
    ...('transactionId' in call && { 'dtc.transaction': call.transactionId, 'dtc.branch': call.branchId }),
  };
  const options = { kind: SpanKind.SERVER, attributes };
  tracer.startActiveSpan(`dtc host ${method}`, options, parentIn(call), (span) => {
    void serve().then((answer) => end(log, span, answer));
  });
}

/** @returns undefined while the application has registered no provider, since spans would then go nowhere. */
function registeredTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer(SCOPE)
    : provider.getTracer(SCOPE);
}

function end(log: HostLog, span: Span, { kind }: CallAnswer): void {
  try {
    span.setAttribute('dtc.answer', kind);
    if (kind === 'error') span.setStatus({ code: SpanStatusCode.ERROR });
    span.end();
  } catch (error) {
    log.defect('The tracer', error);
  }
}

function parentIn({ traceparent }: WireCall): Context {
  const span = spanContextIn(traceparent === undefined ? undefined : { traceparent });
  return span === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, span);
}

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
import { ATTRIBUTES } from '../coordinator/observation/tracing/attributes.js';
import { spanContextIn } from '../coordinator/observation/tracing/trace-context.js';
import type { CallAnswer, WireCall } from '../remote/wire/index.js';
import type { HostLog } from './host-log.js';

/** The instrumentation scope of all spans. */
const SCOPE = 'nestjs-dtc';

/**
 * Records a call as a span of OpenTelemetry, with the call of the coordinator as its parent. The call is
 * served once, even if the tracer fails.
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
    [ATTRIBUTES.participant]: participant,
    ...('transactionId' in call && {
      [ATTRIBUTES.transactionId]: call.transactionId,
      [ATTRIBUTES.branchId]: call.branchId,
      ...(call.attempt > 0 && { [ATTRIBUTES.attempt]: call.attempt }),
    }),
  };
  const options = { kind: SpanKind.SERVER, attributes };
  tracer.startActiveSpan(`dtc host ${method}`, options, parentIn(call), (span) => {
    void serve().then((answer) => end(log, span, call, answer));
  });
}

/** @returns undefined while the application has registered no provider, since spans would then go nowhere. */
function registeredTracer(): Tracer | undefined {
  const provider = trace.getTracerProvider();
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer(SCOPE)
    : provider.getTracer(SCOPE);
}

function end(log: HostLog, span: Span, { method }: WireCall, answer: CallAnswer): void {
  // One that cannot be described is ended all the same.
  for (const work of [() => describe(span, method, answer), () => span.end()]) {
    try {
      work();
    } catch (error) {
      log.defect('The tracer', error);
    }
  }
}

/** As the coordinator describes its own span of the call: a refusal is an answer, and no error. */
function describe(span: Span, method: WireCall['method'], answer: CallAnswer): void {
  span.setAttribute(ATTRIBUTES.answer, answer.kind);
  switch (answer.kind) {
    case 'vote': {
      const { vote } = answer;
      const attribute = method === 'commitOnePhase' ? ATTRIBUTES.decision : ATTRIBUTES.vote;
      span.setAttribute(attribute, typeof vote === 'string' ? vote : vote.vote);
      if (typeof vote === 'string') return;
      if (vote.vote === 'commit') span.setAttribute(ATTRIBUTES.validFor, vote.validForMs);
      else
        span.setAttributes({
          [ATTRIBUTES.refusalCode]: vote.code,
          [ATTRIBUTES.refusalReason]: vote.reason,
        });
      return;
    }
    case 'heuristic':
      span.setAttribute(ATTRIBUTES.heuristic, answer.heuristic);
      if (!agrees(method, answer.heuristic)) fail(span, 'heuristic', answer.reason);
      return;
    case 'error':
      fail(span, answer.code ?? '_OTHER', answer.reason);
      return;
    case 'try-again':
    case 'done':
    case 'ask':
    case 'branches':
    case 'capabilities':
  }
}

/** Of a branch that decides, either way is a decision. */
function agrees(method: WireCall['method'], kind: string): boolean {
  return kind === method || (method === 'commitOnePhase' && (kind === 'commit' || kind === 'rollback'));
}

function fail(span: Span, type: string, message: string): void {
  span.setAttribute(ATTRIBUTES.errorType, type);
  span.setStatus({ code: SpanStatusCode.ERROR, message });
}

function parentIn({ traceparent, tracestate }: WireCall): Context {
  const span = spanContextIn({
    ...(traceparent !== undefined && { traceparent }),
    ...(tracestate !== undefined && { tracestate }),
  });
  return span === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, span);
}

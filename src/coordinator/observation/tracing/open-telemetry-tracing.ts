import { ProxyTracerProvider, type Tracer, type TracerProvider, context, trace } from '@opentelemetry/api';
import type { Tracing, TransactionObserver } from '../../execution/observer.js';
import type { TransactionRecord } from '../../execution/records.js';
import { SpanNames } from './span-names.js';
import { spanContextIn, traceNoteOf } from './trace-context.js';
import { TracerGuard } from './tracer-guard.js';
import { type SpanParts, TransactionSpans } from './transaction-spans.js';

/** The instrumentation scope of all spans. */
const SCOPE = 'nestjs-dtc';

/**
 * Records transactions as spans of OpenTelemetry. While the application has registered no tracer provider, a
 * transaction costs only the check for one.
 */
export class OpenTelemetryTracing implements Tracing {
  private readonly names = new SpanNames();
  private readonly guard: TracerGuard;
  /** The provider of `parts`, behind the proxy of the API. */
  private provider: TracerProvider | undefined = undefined;
  private parts: SpanParts | undefined = undefined;

  constructor(private readonly observer: Pick<TransactionObserver, 'defect'>) {
    this.guard = new TracerGuard(observer);
  }

  begun(transaction: TransactionRecord): void {
    const parts = this.registered();
    if (parts === undefined) return;
    this.guard.try(() => {
      const spans = new TransactionSpans(transaction, parts);
      const span = spans.begin(context.active());
      const extras = transaction.needExtras();
      extras.trace = spans;
      const trace = traceNoteOf(span);
      if (trace !== undefined) extras.caller = { ...extras.caller, ...trace };
    });
  }

  takenUp(transaction: TransactionRecord): void {
    const parts = this.registered();
    if (parts === undefined) return;
    const extras = transaction.needExtras();
    const origin = this.guard.try(() => spanContextIn(extras.caller));
    extras.trace = new TransactionSpans(transaction, parts, origin);
  }

  private registered(): SpanParts | undefined {
    const registered = trace.getTracerProvider();
    const provider = registered instanceof ProxyTracerProvider ? registered.getDelegate() : registered;
    if (this.provider !== provider) {
      this.provider = provider;
      this.parts = this.partsOf(registered);
    }
    return this.parts;
  }

  /** As with the guard, without a closure: this is called for every transaction that is not traced. */
  private partsOf(provider: TracerProvider): SpanParts | undefined {
    try {
      const tracer = tracerOf(provider);
      return tracer && { tracer, names: this.names, guard: this.guard };
    } catch (error) {
      this.observer.defect(error, 'tracing');
      // The next transaction tries again.
      this.provider = undefined;
      return undefined;
    }
  }
}

/** @returns undefined while the API has no provider, since spans would then go nowhere. */
function tracerOf(provider: TracerProvider): Tracer | undefined {
  return provider instanceof ProxyTracerProvider
    ? provider.getDelegateTracer(SCOPE)
    : provider.getTracer(SCOPE);
}

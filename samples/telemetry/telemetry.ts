import type { IncomingMessage } from 'node:http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { defaultResource, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';

/**
 * OpenTelemetry of this process. It is there before the application is loaded: `node --import ./telemetry.js shop.js`. The
 * exporter takes its address from `OTEL_EXPORTER_OTLP_ENDPOINT`, and the service its name from `OTEL_SERVICE_NAME`.
 */
const name = process.env['OTEL_SERVICE_NAME'] ?? 'shop';
const provider = new NodeTracerProvider({
  resource: defaultResource().merge(resourceFromAttributes({ 'service.name': name })),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
// With the context manager of Node and the propagator of W3C.
provider.register();
registerInstrumentations({
  instrumentations: [new HttpInstrumentation({ ignoreIncomingRequestHook: isMessageOfCoordinator })],
});

/** One message may carry calls of many traces. The library makes a span of each call, in the trace to which it belongs. */
function isMessageOfCoordinator({ url = '' }: IncomingMessage): boolean {
  return url.startsWith('/participants/');
}

/** Brings the last spans to the collector. */
export function stopTelemetry(): Promise<void> {
  return provider.shutdown();
}

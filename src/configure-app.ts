import type { IncomingMessage } from 'node:http';
import type { INestApplication, NestApplicationOptions } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Logger } from 'nestjs-pino';
import { QuietLogger } from './common/quiet-logger.js';
import { requestIdFrom } from './coordinator/index.js';
import { PROBLEM_CONTENT_TYPE, problemOf } from './operations/problem/problem.js';
import { serveDocumentation } from './openapi.js';

const BODY_LIMIT_BYTES = 16 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

/**
 * How the application is created. The platform's own parser of JSON is the only one: other bodies are
 * refused.
 */
export const APPLICATION_OPTIONS: NestApplicationOptions = {
  abortOnError: false,
  bodyParser: false,
  bufferLogs: true,
  // The reason of a failed start is reported once, in one line. The framework's own report stays in the
  // buffer.
  autoFlushLogs: false,
};

/**
 * @param bodyLimit the most bytes of a body.
 * @returns the HTTP platform. Only this function knows which one it is.
 */
export function createHttpAdapter(bodyLimit: number = BODY_LIMIT_BYTES): FastifyAdapter {
  let withoutId = 0;
  const adapter = new FastifyAdapter({
    bodyLimit,
    // For log lines. A request without an id has a number of this process, and its transaction has none.
    genReqId: ({ headers }: IncomingMessage) => requestIdFrom(headers['x-request-id']) ?? `#${++withoutId}`,
    // A client that sends a request byte by byte delays neither a connection nor a shutdown. When connections
    // are closed, the coordinator has been drained and every order is answered.
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { ignoreTrailingSlash: true },
    forceCloseConnections: true,
    // Refusals of the router (a malformed URL) reach no filter.
    frameworkErrors: (error: Error, _request: unknown, reply: unknown) =>
      answerProblem(error, reply as PlatformReply),
  });
  adapter.getInstance().removeContentTypeParser('text/plain');
  return adapter;
}

/**
 * Configures the application after its creation and before its start, in production and in tests alike.
 *
 * @param quietContexts whose lines are logged at debug only, beside those of Nest. @default none
 * @param description what the documentation says of it at the top. @default that of the shop
 */
export function configureApp<A extends INestApplication>(
  app: A,
  quietContexts: readonly string[] = [],
  description?: string,
): A {
  app.useLogger(new QuietLogger(app.get(Logger), quietContexts));
  app.flushLogs();
  // The log is written out before the process ends.
  app.enableShutdownHooks([], { useProcessExit: true });
  serveDocumentation(app, description);
  return app;
}

interface PlatformReply {
  code(status: number): this;
  header(name: string, value: string): this;
  send(body: unknown): unknown;
}

function answerProblem(error: Error, reply: PlatformReply): void {
  const problem = problemOf(error);
  reply.code(problem.status).header('Content-Type', PROBLEM_CONTENT_TYPE).send(problem);
}

import type { INestApplication, NestApplicationOptions } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Logger } from 'nestjs-pino';
import { QuietLogger } from './common/quiet-logger.js';
import { PROBLEM_CONTENT_TYPE, problemOf } from './operations/problem/problem.js';
import { serveDocumentation } from './openapi.js';

const BODY_LIMIT_BYTES = 16 * 1024;
const REQUEST_TIMEOUT_MS = 30_000;

/** How the application is created. The platform's own parser of JSON is the only one: other bodies are refused. */
export const APPLICATION_OPTIONS: NestApplicationOptions = {
  abortOnError: false,
  bodyParser: false,
  bufferLogs: true,
  // Why a start fails is said once, in one line; the framework's own report of it stays in the buffer.
  autoFlushLogs: false,
};

/** @returns the HTTP platform. Nothing but this function knows which one it is. */
export function createHttpAdapter(): FastifyAdapter {
  const adapter = new FastifyAdapter({
    bodyLimit: BODY_LIMIT_BYTES,
    // Whoever sends a request byte by byte holds up neither a connection nor a shutdown; by the time connections are
    // closed, the coordinator has been drained and every order is answered.
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { ignoreTrailingSlash: true },
    forceCloseConnections: true,
    // What the router refuses (a malformed URL) comes to no filter.
    frameworkErrors: (error: Error, _request: unknown, reply: unknown) =>
      answerProblem(error, reply as PlatformReply),
  });
  adapter.getInstance().removeContentTypeParser('text/plain');
  return adapter;
}

/**
 * What is set on the application once it is created and before it starts: in production and in tests alike.
 *
 * @param quietContexts whose lines the log has at debug only, beside those of Nest. @default none
 */
export function configureApp<A extends INestApplication>(app: A, quietContexts: readonly string[] = []): A {
  app.useLogger(new QuietLogger(app.get(Logger), quietContexts));
  app.flushLogs();
  // The log is written out before the process ends.
  app.enableShutdownHooks([], { useProcessExit: true });
  serveDocumentation(app);
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

import {
  type ArgumentsHost,
  Catch,
  type ExceptionFilter,
  HttpException,
  HttpStatus,
  Injectable,
  Logger,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import {
  FailedAfterCommitError,
  NotCommittedError,
  RepeatedCallError,
} from '../../coordinator/declarative/errors.js';
import { CoordinatorError, RefusedElsewhereError } from '../../coordinator/errors.js';
import { LogLine } from '../../coordinator/gate/log-line.js';
import { messageOf } from '../../coordinator/gate/texts.js';
import { activeTrace } from '../../coordinator/observation/tracing/trace-context.js';
import { originOf, requestIdFrom } from '../../coordinator/participant/caller-note.js';
import { PROBLEM_CONTENT_TYPE, type Problem, ProblemException, problemOf } from './problem.js';

/**
 * Answers every error as `application/problem+json` (RFC 9457), on whichever HTTP platform. An unexpected error is
 * logged in full, with the `X-Request-Id` and the trace of its request, and the answer tells nothing of it. Outside of HTTP the error is thrown again.
 *
 * @example
 * ```ts
 * providers: [{ provide: APP_FILTER, useClass: ProblemFilter }],
 * ```
 * @publicApi
 */
@Catch()
@Injectable()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger(ProblemFilter.name);

  constructor(private readonly adapterHost: HttpAdapterHost) {}

  catch(error: unknown, host: ArgumentsHost): void {
    if (host.getType() !== 'http') throw error;
    const { httpAdapter } = this.adapterHost;
    const response: unknown = host.switchToHttp().getResponse();
    if (httpAdapter.isHeadersSent(response)) {
      httpAdapter.end(response);
      return;
    }
    if (isHealthResult(error)) {
      httpAdapter.reply(response, error.getResponse(), error.getStatus());
      return;
    }
    const problem = problemOf(error);
    if (isHidden(error, problem)) this.logger.error(lineOf(error, host.switchToHttp().getRequest()));
    this.reply(response, problem);
  }

  private reply(response: unknown, { retryAfterSeconds, ...body }: Problem): void {
    const { httpAdapter } = this.adapterHost;
    httpAdapter.setHeader(response, 'Content-Type', PROBLEM_CONTENT_TYPE);
    if (retryAfterSeconds !== undefined)
      httpAdapter.setHeader(response, 'Retry-After', String(retryAfterSeconds));
    httpAdapter.reply(response, body, body.status);
  }
}

/**
 * Like {@link ProblemFilter}, for the errors of this library only: the application answers all other errors
 * as before. If the application has a filter for all errors, provide this one after it: Nest asks the last
 * one first.
 *
 * @publicApi
 */
@Catch(CoordinatorError, RefusedElsewhereError, NotCommittedError, FailedAfterCommitError, RepeatedCallError)
@Injectable()
export class TransactionProblemFilter extends ProblemFilter {}

/** Whether the answer tells nothing of the error, which then is in the log. */
function isHidden(error: unknown, { code, status }: Problem): boolean {
  if (code === 'DTC_INTERNAL') return true;
  return error instanceof HttpException && !(error instanceof ProblemException) && status >= 500;
}

/** A failed health check has an answer of its own, made by Terminus, and passes unchanged. */
function isHealthResult(error: unknown): error is HttpException {
  if (!(error instanceof HttpException) || error.getStatus() !== (HttpStatus.SERVICE_UNAVAILABLE as number))
    return false;
  const body = error.getResponse();
  return typeof body === 'object' && 'details' in body && 'status' in body;
}

/**
 * The fields of the log line for an error that the answer does not show: the request to which it belongs, and
 * where it was thrown.
 */
function lineOf(
  error: unknown,
  { headers }: { readonly headers?: Readonly<Record<string, unknown>> },
): LogLine {
  const requestId = requestIdFrom(headers?.['x-request-id']);
  const trace = activeTrace();
  return new LogLine(messageOf(error), {
    ...originOf({ ...trace, ...(requestId !== undefined && { requestId }) }),
    ...(error instanceof Error && error.stack !== undefined && { stack: error.stack }),
  });
}

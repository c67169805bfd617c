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
import { PROBLEM_CONTENT_TYPE, type Problem, problemOf } from './problem.js';

/**
 * Answers every error as `application/problem+json` (RFC 9457), on whichever HTTP platform. What was not foreseen is
 * logged in full and answered without a word about the inside.
 */
@Catch()
@Injectable()
export class ProblemFilter implements ExceptionFilter {
  private readonly logger = new Logger(ProblemFilter.name);

  constructor(private readonly adapterHost: HttpAdapterHost) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const { httpAdapter } = this.adapterHost;
    const response: unknown = host.switchToHttp().getResponse();
    if (httpAdapter.isHeadersSent(response)) return;
    if (isHealthResult(error)) {
      httpAdapter.reply(response, error.getResponse(), error.getStatus());
      return;
    }
    const problem = problemOf(error);
    if (problem.code === 'DTC_INTERNAL')
      this.logger.error(error instanceof Error ? error.stack : String(error));
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

/** A failed health check is an answer of its own, made by Terminus, and passes as it is. */
function isHealthResult(error: unknown): error is HttpException {
  if (!(error instanceof HttpException) || error.getStatus() !== (HttpStatus.SERVICE_UNAVAILABLE as number))
    return false;
  const body = error.getResponse();
  return typeof body === 'object' && 'details' in body && 'status' in body;
}

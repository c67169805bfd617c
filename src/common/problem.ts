import { HttpException, HttpStatus } from '@nestjs/common';

/** The body of an error answer: RFC 9457, with a stable code. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  /** Stable, for programs. */
  readonly code: string;
  readonly transactionId?: string;
  /** What was wrong with the request, a sentence each. */
  readonly errors?: readonly string[];
  /** Becomes the Retry-After header. */
  readonly retryAfterSeconds?: number;
}

/** An error that knows how it is answered. */
export class ProblemException extends HttpException {
  readonly problem: Problem;

  constructor(problem: Omit<Problem, 'type' | 'title'>) {
    super(problem.detail, problem.status);
    this.problem = { type: 'about:blank', title: TITLES[problem.status] ?? 'Error', ...problem };
  }
}

/** How the errors of the coordinator are answered, by their codes; its core knows no HTTP. */
const STATUS_OF_CODE: Readonly<Record<string, HttpStatus>> = {
  DTC_BRANCH_CONFLICT: HttpStatus.CONFLICT,
  DTC_INVALID_REQUEST: HttpStatus.BAD_REQUEST,
  DTC_NOT_ACTIVE: HttpStatus.CONFLICT,
  DTC_OVERLOADED: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_PARTICIPANT_STALLED: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_SHUTTING_DOWN: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_TOO_MANY_BRANCHES: HttpStatus.BAD_REQUEST,
  DTC_TRANSACTION_NOT_FOUND: HttpStatus.NOT_FOUND,
};

/** The codes of what the framework itself refuses. */
const CODE_OF_STATUS: Readonly<Record<number, string>> = {
  400: 'DTC_BAD_REQUEST',
  404: 'DTC_NOT_FOUND',
  405: 'DTC_METHOD_NOT_ALLOWED',
  413: 'DTC_BODY_TOO_LARGE',
  415: 'DTC_UNSUPPORTED_MEDIA_TYPE',
};

/** @returns how an error of any kind is answered. */
export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemException) return error.problem;
  const code = (error as { code?: unknown } | null)?.code;
  if (error instanceof Error && typeof code === 'string') {
    const status = STATUS_OF_CODE[code];
    if (status !== undefined) return problem(status, code, error.message);
  }
  const status = statusOf(error);
  if (status !== undefined && status < 500) {
    const message = error instanceof Error ? error.message : 'The request cannot be served.';
    return problem(status, CODE_OF_STATUS[status] ?? 'DTC_REFUSED', message, error);
  }
  return problem(
    HttpStatus.INTERNAL_SERVER_ERROR,
    'DTC_INTERNAL',
    'Something went wrong here. It has been logged.',
  );
}

function problem(status: number, code: string, detail: string, error?: unknown): Problem {
  const errors = error instanceof HttpException ? messagesOf(error) : undefined;
  return {
    type: 'about:blank',
    title: TITLES[status] ?? 'Error',
    status,
    detail,
    code,
    ...(errors && { errors }),
    ...(status === 503 && { retryAfterSeconds: 1 }),
  };
}

/** The platforms' own errors (a body that is not JSON, or too large) carry their status in a field. */
function statusOf(error: unknown): number | undefined {
  if (error instanceof HttpException) return error.getStatus();
  const status = (error as { statusCode?: unknown } | null)?.statusCode;
  return typeof status === 'number' && status >= 400 && status < 600 ? status : undefined;
}

function messagesOf(error: HttpException): string[] | undefined {
  const body = error.getResponse();
  const message = typeof body === 'object' ? (body as { message?: unknown }).message : undefined;
  return Array.isArray(message) ? message.map(String) : undefined;
}

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad request',
  404: 'Not found',
  405: 'Method not allowed',
  409: 'Conflict',
  413: 'Body too large',
  415: 'Unsupported media type',
  422: 'Unprocessable content',
  500: 'Internal error',
  503: 'Unavailable',
};

import { STATUS_CODES } from 'node:http';
import { HttpException, HttpStatus } from '@nestjs/common';
import { z } from 'zod';
import { RefusedElsewhereError } from '../../coordinator/errors.js';
import type { AbortedOutcome, NotCommittedError } from '../../coordinator/index.js';

/** The body of an error answer: RFC 9457, with a stable code. */
export const problemSchema = z.object({
  type: z.string(),
  title: z.string(),
  status: z.number().int(),
  detail: z.string().describe('The problem, for people.'),
  code: z.string().describe('The problem, for programs. A code never changes its meaning.'),
  transactionId: z.string().optional().describe('The transaction, if one was begun.'),
  participant: z.string().optional().describe('The participant that caused it, if one did.'),
  reasonCode: z.string().optional().describe('The reason of a refusal, for programs: OUT_OF_STOCK.'),
  member: z
    .object({ epoch: z.number().int(), address: z.string().nullable() })
    .optional()
    .describe('The member of the coordinator to ask instead, if another one owns the transaction.'),
  errors: z.array(z.string()).optional().describe('The problems of the request, a sentence each.'),
}) satisfies z.ZodType<Problem>;

export const PROBLEM_CONTENT_TYPE = 'application/problem+json; charset=utf-8';

/** The body of an error answer, by RFC 9457. @publicApi */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** The problem, for people. */
  readonly detail: string;
  /** The problem, for programs. A code never changes its meaning. */
  readonly code: string;
  /** The transaction, if one was begun. */
  readonly transactionId?: string | undefined;
  /** The participant that caused it, if one did. */
  readonly participant?: string | undefined;
  /** The reason of a refusal, for programs: OUT_OF_STOCK. */
  readonly reasonCode?: string | undefined;
  /** The member of the coordinator to ask instead, if another one owns the transaction. */
  readonly member?: { readonly epoch: number; readonly address: string | null } | undefined;
  /** The problems of the request, a sentence each. */
  readonly errors?: string[] | undefined;
  /** The value of the Retry-After header. */
  readonly retryAfterSeconds?: number;
}

/** An error that defines its answer. @publicApi */
export class ProblemException extends HttpException {
  readonly problem: Problem;

  /**
   * @param problem the answer.
   * @param problem.type a URI of the kind of problem.
   * @default 'about:blank'
   * @param problem.title the name of the kind.
   * @default the words for the status
   */
  constructor(problem: Omit<Problem, 'type' | 'title'> & Partial<Pick<Problem, 'type' | 'title'>>) {
    super(problem.detail, problem.status);
    this.problem = { ...untyped(problem.status), ...problem };
  }
}

/** The answers to the errors of the coordinator, by their codes; its core does not know HTTP. */
const STATUS_OF_CODE: Readonly<Record<string, HttpStatus>> = {
  DTC_ACTION_REFUSED: HttpStatus.CONFLICT,
  DTC_ADDRESS_REFUSED: HttpStatus.FORBIDDEN,
  DTC_ASK_LATER: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_BRANCH_CONFLICT: HttpStatus.CONFLICT,
  DTC_BRANCH_NOT_FOUND: HttpStatus.NOT_FOUND,
  DTC_COORDINATOR_UNREACHABLE: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_DRAINING: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_DUPLICATE_PARTICIPANT: HttpStatus.CONFLICT,
  // Never a 5xx once commit is decided.
  DTC_FAILED_AFTER_COMMIT: HttpStatus.ACCEPTED,
  DTC_FENCED: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_FORBIDDEN: HttpStatus.FORBIDDEN,
  DTC_INVALID_REQUEST: HttpStatus.BAD_REQUEST,
  DTC_KEY_REUSED: HttpStatus.CONFLICT,
  DTC_LOG_UNAVAILABLE: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_MEMBER_UNREACHABLE: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_MESSAGE_NOT_FOUND: HttpStatus.NOT_FOUND,
  DTC_NOT_ACTIVE: HttpStatus.CONFLICT,
  DTC_OTHER_MEMBER: HttpStatus.CONFLICT,
  DTC_OTHER_RUN: HttpStatus.CONFLICT,
  DTC_OUTCOME_UNKNOWN: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_OUTBOX_NOT_FOUND: HttpStatus.NOT_FOUND,
  DTC_OUTBOX_NOT_STARTED: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_OUTBOX_UNREACHABLE: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_OVERLOADED: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_PARTICIPANT_NEEDED: HttpStatus.CONFLICT,
  DTC_PARTICIPANT_NOT_CLAIMED: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_PARTICIPANT_NOT_FOUND: HttpStatus.NOT_FOUND,
  DTC_PARTICIPANT_PAUSED: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_PARTICIPANT_SILENT: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_PARTICIPANT_STALLED: HttpStatus.SERVICE_UNAVAILABLE,
  // It has committed, as that of DTC_FAILED_AFTER_COMMIT has.
  DTC_REPEATED: HttpStatus.ACCEPTED,
  DTC_SERVER_BUSY: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_SHUTTING_DOWN: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_TOO_MANY_BRANCHES: HttpStatus.BAD_REQUEST,
  DTC_TOO_MANY_EXPORTS: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_TOO_MANY_STREAMS: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_TRANSACTION_NEEDED: HttpStatus.BAD_REQUEST,
  DTC_TWO_LAST_RESOURCES: HttpStatus.BAD_REQUEST,
  DTC_TRANSACTION_NOT_FOUND: HttpStatus.NOT_FOUND,
  DTC_UNAUTHENTICATED: HttpStatus.UNAUTHORIZED,
  DTC_UNKNOWN_PARTICIPANT: HttpStatus.SERVICE_UNAVAILABLE,
  DTC_WRONG_MEMBER: HttpStatus.MISDIRECTED,
};

/**
 * The codes of refusals that concern the credential of this service at a coordinator elsewhere. The client of this service cannot
 * send a better credential, so it is told nothing of that.
 */
const ABOUT_OWN_CREDENTIAL: ReadonlySet<string> = new Set(['DTC_FORBIDDEN', 'DTC_UNAUTHENTICATED']);

/** The codes of refusals of the framework itself. */
const CODE_OF_STATUS: Readonly<Record<number, string>> = {
  400: 'DTC_BAD_REQUEST',
  404: 'DTC_NOT_FOUND',
  413: 'DTC_BODY_TOO_LARGE',
  414: 'DTC_URL_TOO_LONG',
  415: 'DTC_UNSUPPORTED_MEDIA_TYPE',
};

/** How long a caller should wait that was refused for lack of a participant or of room. */
const RETRY_AFTER_SECONDS = 1;

/**
 * The answer to an error of any kind: for a filter of your own. Of an HttpException it keeps the status, the message as the
 * detail, and a list of messages as `errors`; from 500 on only the status. For other fields, throw a {@link ProblemException}.
 *
 * @returns the body, and how long to wait where the status is 503.
 * @publicApi
 */
export function problemOf(error: unknown): Problem {
  if (error instanceof ProblemException) return error.problem;
  const code = (error as { code?: unknown } | null)?.code;
  if (error instanceof Error && typeof code === 'string') {
    if (code === 'DTC_NOT_COMMITTED') return problemOfOutcome((error as NotCommittedError).outcome);
    const status = statusOfCoded(error, code);
    if (status !== undefined) {
      const { retryAfterMs, member, transactionId } = error as {
        retryAfterMs?: unknown;
        member?: Problem['member'];
        transactionId?: string;
      };
      const isSaid = typeof retryAfterMs === 'number';
      return {
        ...untyped(status),
        status,
        detail: error.message,
        code,
        ...(status === HttpStatus.ACCEPTED && transactionId !== undefined && { transactionId }),
        ...(code === 'DTC_OTHER_MEMBER' && { member }),
        ...(isSaid && { retryAfterSeconds: Math.ceil(retryAfterMs / 1_000) }),
      };
    }
  }
  const status = statusOf(error);
  if (status !== undefined && status < 500) {
    const errors = error instanceof HttpException ? messagesOf(error) : undefined;
    const message = error instanceof Error ? error.message : 'The request cannot be served.';
    return {
      ...untyped(status),
      status,
      detail: errors === undefined ? message : 'The request is not valid.',
      code: CODE_OF_STATUS[status] ?? 'DTC_REQUEST_REFUSED',
      ...(errors && { errors }),
    };
  }
  // Only an HttpException is an answer that a program has chosen. Its text may still be that of a database.
  const isChosen = error instanceof HttpException && status !== undefined && status < 600;
  const kept = isChosen ? status : HttpStatus.INTERNAL_SERVER_ERROR;
  return {
    ...untyped(kept),
    status: kept,
    detail: 'Something went wrong here. It has been logged.',
    code: kept === (HttpStatus.INTERNAL_SERVER_ERROR as number) ? 'DTC_INTERNAL' : 'DTC_REQUEST_REFUSED',
  };
}

/** @returns the status of an error with a code; undefined where the answer tells nothing of it. */
function statusOfCoded(error: Error, code: string): HttpStatus | undefined {
  // It may have committed, so it is no error.
  if (error.name === 'RequestOutcomeUnknownError') return HttpStatus.ACCEPTED;
  if (!(error instanceof RefusedElsewhereError)) return STATUS_OF_CODE[code];
  if (ABOUT_OWN_CREDENTIAL.has(code)) return undefined;
  // The code may be one of another version. A mistake in the request of this service is not the fault of its client.
  const { status } = error as { status?: unknown };
  const isOfState = status === HttpStatus.CONFLICT || status === HttpStatus.SERVICE_UNAVAILABLE;
  return STATUS_OF_CODE[code] ?? (isOfState ? status : undefined);
}

/** The codes of an abort; an abort of another cause has `DTC_ABORTED`. */
const CODE_OF_CAUSE: Partial<Record<AbortedOutcome['cause'], string>> = {
  failed: 'DTC_PARTICIPANT_FAILED',
  'timed-out': 'DTC_TIMED_OUT',
};

/**
 * A transaction is not committed. Only an abort is an error, since an error means that nothing has happened.
 */
function problemOfOutcome(outcome: NotCommittedError['outcome']): Problem {
  if (outcome.status === 'aborted') {
    const problem = problemOfAbort(outcome);
    return { ...untyped(problem.status), ...problem };
  }
  const status = HttpStatus.ACCEPTED;
  const detail = `The transaction may have committed: its outcome is ${outcome.status}. Ask for it by its id.`;
  const { transactionId } = outcome;
  return { ...untyped(status), status, detail, code: 'DTC_NOT_COMMITTED', transactionId };
}

/**
 * @returns the answer to an aborted transaction: 409 if the same request would be refused again, otherwise
 * 503.
 */
export function problemOfAbort(outcome: AbortedOutcome): Omit<Problem, 'type' | 'title'> {
  const { transactionId, participant, code: reasonCode } = outcome;
  const cause = causeOf(outcome);
  const isFinal = cause === 'refused' && outcome.temporary !== true;
  const status = isFinal ? HttpStatus.CONFLICT : HttpStatus.SERVICE_UNAVAILABLE;
  const why = whyOf(outcome);
  return {
    status,
    detail: `Nothing was changed${why === undefined ? '' : `: ${why}`}.${isFinal ? '' : ' It is safe to try again.'}`,
    code: isFinal ? 'DTC_REFUSED' : (CODE_OF_CAUSE[cause] ?? 'DTC_ABORTED'),
    transactionId,
    ...(participant !== undefined && { participant }),
    ...(reasonCode !== undefined && { reasonCode }),
  };
}

/** A refusal that only carries an error is a failure: its text is that of a database or a program. */
function causeOf({ cause, code }: AbortedOutcome): AbortedOutcome['cause'] {
  return cause === 'refused' && (code === 'WORK_FAILED' || code?.startsWith('DTC_') === true)
    ? 'failed'
    : cause;
}

/**
 * Errors, and the name and reason of an operator who ordered a rollback, are for operators and not for
 * clients.
 */
function whyOf(outcome: AbortedOutcome): string | undefined {
  const { participant, reason } = outcome;
  const cause = causeOf(outcome);
  switch (cause) {
    case 'refused':
    case 'timed-out':
    case 'expired':
      return reason;
    case 'failed':
      return `${participant ?? 'a participant'} failed`;
    case 'rolled-back':
      return 'it was rolled back before it was decided';
    case 'cancelled':
    case 'rollback-only':
    case 'not-recorded':
    case 'presumed':
      return undefined;
  }
}

/** A problem without a type of its own has the text of its status. */
function untyped(status: number): Pick<Problem, 'type' | 'title' | 'retryAfterSeconds'> {
  return {
    type: 'about:blank',
    title: STATUS_CODES[status] ?? 'Error',
    ...(status === 503 && { retryAfterSeconds: RETRY_AFTER_SECONDS }),
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

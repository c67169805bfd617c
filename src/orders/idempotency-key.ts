import { HttpStatus } from '@nestjs/common';
import { ProblemException } from '../operations/problem/problem.js';

/** Spelt as in the documentation, everywhere: OpenAPI would list another spelling as another header. */
export const IDEMPOTENCY_KEY = 'Idempotency-Key';

/** The format of a key: 1 to 255 visible ASCII characters. */
export const IDEMPOTENCY_KEY_PATTERN = '^[\\x21-\\x7e]{1,255}$';

const PATTERN = new RegExp(IDEMPOTENCY_KEY_PATTERN);

/** @throws ProblemException 400 for an invalid key. */
export function checkIdempotencyKey(key: string): void {
  if (PATTERN.test(key)) return;
  throw new ProblemException({
    status: HttpStatus.BAD_REQUEST,
    code: 'DTC_BAD_REQUEST',
    detail: `The header ${IDEMPOTENCY_KEY} must be 1 to 255 visible ASCII characters.`,
  });
}

/** The key belongs to another request. */
export function keyReused(): ProblemException {
  return new ProblemException({
    status: HttpStatus.UNPROCESSABLE_ENTITY,
    code: 'DTC_IDEMPOTENCY_KEY_REUSED',
    detail:
      'This Idempotency-Key was sent before with another body, so nothing was changed. Give every request a key of its own.',
  });
}

/** The first request under the key is being served, here or by another process. */
export function keyInUse(): ProblemException {
  return new ProblemException({
    status: HttpStatus.CONFLICT,
    code: 'DTC_IDEMPOTENCY_KEY_IN_USE',
    detail: 'The first request with this Idempotency-Key is still running. Try again later.',
    retryAfterSeconds: 1,
  });
}

/** All stored keys belong to requests whose outcome is open. */
export function keysFull(limit: number): ProblemException {
  return new ProblemException({
    status: HttpStatus.SERVICE_UNAVAILABLE,
    code: 'DTC_OVERLOADED',
    detail:
      `The outcome of ${limit} requests with an Idempotency-Key is open, so no further key is accepted. ` +
      'Nothing was changed. Try again later.',
    retryAfterSeconds: 1,
  });
}

/**
 * The outcome of the key cannot be determined now. An order may have been placed under it, so the answer does
 * not deny that.
 */
export function keyUnknown(cause: unknown): ProblemException {
  const problem = new ProblemException({
    status: HttpStatus.SERVICE_UNAVAILABLE,
    code: 'DTC_IDEMPOTENCY_KEY_UNKNOWN',
    detail:
      'The database of order does not answer, so it is not known whether an order was placed under this ' +
      'Idempotency-Key. Send the same request with the same key again.',
    participant: 'order',
  });
  problem.cause = cause;
  return problem;
}

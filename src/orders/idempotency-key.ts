import { HttpStatus } from '@nestjs/common';
import { ProblemException } from '../common/problem.js';

/** Spelt as in the documentation, everywhere: OpenAPI would list another spelling as another header. */
export const IDEMPOTENCY_KEY = 'Idempotency-Key';

/** What a key may be: 1 to 255 visible ASCII characters. */
export const IDEMPOTENCY_KEY_PATTERN = '^[\\x21-\\x7e]{1,255}$';

const PATTERN = new RegExp(IDEMPOTENCY_KEY_PATTERN);

/** @throws ProblemException 400 for a key that is none. */
export function checkIdempotencyKey(key: string): void {
  if (PATTERN.test(key)) return;
  throw new ProblemException({
    status: HttpStatus.BAD_REQUEST,
    code: 'DTC_BAD_REQUEST',
    detail: `The header ${IDEMPOTENCY_KEY} must be 1 to 255 visible ASCII characters.`,
  });
}

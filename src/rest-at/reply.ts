import { HttpStatus } from '@nestjs/common';
import { ProblemException } from '../operations/problem/problem.js';
import { STATUS_TYPE, type Status, bodyOf } from './status.js';

/** An answer to a request, before it is sent. */
export interface Reply {
  readonly code: number;
  readonly type?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** An answer that says a status. */
export function statusReply(code: number, status: Status, headers: Reply['headers'] = {}): Reply {
  return { code, type: STATUS_TYPE, body: bodyOf(status), headers };
}

/** An answer is not known now, and no other one may be concluded. */
export function askLater(detail: string): ProblemException {
  return new ProblemException({
    status: HttpStatus.SERVICE_UNAVAILABLE,
    code: 'DTC_ASK_LATER',
    detail: `${detail} Nothing can be concluded from this answer: ask again later.`,
    retryAfterSeconds: 1,
  });
}

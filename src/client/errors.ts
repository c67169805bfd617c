import { BadRequestException, UnauthorizedException } from '@nestjs/common';
import { CoordinatorError, RefusedElsewhereError } from '../coordinator/errors.js';
import { CARRIER_HEADER, TRANSACTION_HEADER } from '../server/wire/index.js';

/** The coordinator has refused a request. Nothing was begun or changed by it. @publicApi */
export class CoordinatorRefusedError extends RefusedElsewhereError {
  override readonly name = 'CoordinatorRefusedError';

  /**
   * @param code of the refusal, such as `DTC_OVERLOADED`.
   * @param status of the HTTP answer.
   * @param detail the explanation of the coordinator.
   * @param retryAfterMs how long it asks to wait, if it does.
   */
  constructor(
    readonly code: string,
    readonly status: number,
    detail: string,
    readonly retryAfterMs?: number,
  ) {
    super(detail);
  }
}

/** No member of the coordinator could be asked. Nothing was begun. @publicApi */
export class CoordinatorUnreachableError extends CoordinatorError {
  readonly code = 'DTC_COORDINATOR_UNREACHABLE';

  constructor(problem: string) {
    super(
      `No member of the coordinator could be asked in time (${problem}), and nothing was begun. It is safe to try again; check ` +
        'the option members, and whether the coordinator runs.',
    );
  }
}

/**
 * A request was sent, and no answer came in time: the transaction may have committed or not. With the same
 * key and the same `ofRun` `run` and `beginOnce` can send it again, and nothing is done twice. A decorated
 * method takes no `ofRun`: call it again only where `ofRun` of this error is undefined, or the coordinator
 * was not restarted.
 *
 * @publicApi
 */
export class RequestOutcomeUnknownError extends CoordinatorError {
  readonly code = 'DTC_OUTCOME_UNKNOWN';

  /**
   * @param requestKey of the request: give it to `run` or `beginOnce` again as `key`.
   * @param ofRun the run of the coordinator that the request is for: give it to `run` or `beginOnce` again as
   * `ofRun`. Without it a coordinator that was restarted runs the request again. Undefined where the members
   * share a log, which keeps the keys.
   */
  constructor(
    readonly requestKey: string,
    problem: string,
    readonly ofRun?: string,
  ) {
    const isKeyKept = ofRun === undefined;
    super(
      `It is not known whether the request ${requestKey} was done (${problem}). It may have committed: do not send it with another ` +
        `key. Send the same request again by run() or beginOnce() with this key${isKeyKept ? '' : ` and ofRun ${ofRun}`} to find out, ` +
        (isKeyKept
          ? 'or call the decorated method again.'
          : 'or call the decorated method again if the coordinator was not restarted. If it was, look at the data of the participants.'),
    );
  }
}

/** A request carries a transaction, and not the credential of a service that may do so. @publicApi */
export class CarrierRefusedError extends UnauthorizedException {
  readonly code = 'DTC_UNAUTHENTICATED';

  constructor() {
    super(
      problemBody(
        401,
        'DTC_UNAUTHENTICATED',
        `A request with the header ${TRANSACTION_HEADER} needs ${CARRIER_HEADER}: Bearer <token> with the token of a service that the ` +
          'option carriers names, so nothing was done.',
      ),
    );
  }
}

/** A request carries what is not the id of a transaction. @publicApi */
export class CarriedTransactionError extends BadRequestException {
  readonly code = 'DTC_INVALID_REQUEST';

  constructor() {
    super(
      problemBody(
        400,
        'DTC_INVALID_REQUEST',
        `The header ${TRANSACTION_HEADER} must be the id of a transaction, so nothing was done.`,
      ),
    );
  }
}

/** A request carries no transaction to a handler that runs in one only. @publicApi */
export class CarriedTransactionNeededError extends BadRequestException {
  readonly code = 'DTC_TRANSACTION_NEEDED';

  constructor() {
    super(
      problemBody(
        400,
        'DTC_TRANSACTION_NEEDED',
        `This runs only in the transaction of its caller, and the request carries none, so nothing was done. Send it with a ` +
          `TransactionCarrier within a transaction: it sets ${TRANSACTION_HEADER}.`,
      ),
    );
  }
}

/** The answer without a filter for problems. */
function problemBody(statusCode: number, code: string, message: string): object {
  return { statusCode, code, message };
}

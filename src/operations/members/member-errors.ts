import { CoordinatorError } from '../../coordinator/index.js';

/** The outcome of a transaction cannot be found out now. It may have committed. @publicApi */
export class OutcomeUnknownError extends CoordinatorError {
  readonly code = 'DTC_ASK_LATER';

  /** @param because why, in one sentence. */
  constructor(
    readonly transactionId: string,
    because: string,
  ) {
    super(
      `It is not known now what has become of ${transactionId}: ${because} It may have committed or aborted. Ask again later.`,
    );
  }
}

/** An order for another member was not carried out, or it is not known whether it was. @publicApi */
export class MemberUnreachableError extends CoordinatorError {
  readonly code = 'DTC_MEMBER_UNREACHABLE';

  /**
   * @param because why, in one sentence.
   * @param mayBeDone whether the member may have carried it out all the same.
   */
  constructor(
    because: string,
    readonly mayBeDone: boolean,
  ) {
    super(
      mayBeDone
        ? `${because} So it is not known whether the order was carried out. Look at the audit trail before you give it again.`
        : `${because} So nothing was done. Try again later, or give the order to that member itself.`,
    );
  }
}

/**
 * A call of a member has reached a process that is not the member which it was for. It has changed nothing.
 */
export class WrongMemberError extends CoordinatorError {
  readonly code = 'DTC_WRONG_MEMBER';

  constructor(asked: string, here: string) {
    super(`This call is for ${asked}, and here is ${here}. Nothing was done.`);
  }
}

import { CoordinatorError } from '../coordinator/index.js';

/** The credential is known, and its role may not do this. @publicApi */
export class RoleNeededError extends CoordinatorError {
  readonly code = 'DTC_FORBIDDEN';

  constructor(
    readonly caller: string,
    readonly allowed: readonly string[],
  ) {
    super(
      `${caller} may not do this, so nothing was done. It needs the role ${allowed.join(' or ')}: send a token of that role.`,
    );
  }
}

/** Too many requests wait for an outcome, so this one was not taken. Nothing was done. @publicApi */
export class TooManyWaitingError extends CoordinatorError {
  readonly code = 'DTC_OVERLOADED';

  constructor(readonly maxWaiting: number) {
    super(
      `${maxWaiting} requests wait for an answer of the coordinator, so this one was not taken. Send it again later with the same key.`,
    );
  }
}

/** Too many request keys are remembered, so this new one was not taken. Nothing was done. @publicApi */
export class TooManyKeysError extends CoordinatorError {
  readonly code = 'DTC_OVERLOADED';

  constructor(readonly maxKeys: number) {
    super(
      `${maxKeys} request keys are remembered, so no new one is taken and nothing was begun. Send the request again later, or raise maxKeys.`,
    );
  }
}

/** The key of a request belongs to another request. Nothing was done for this one. @publicApi */
export class RequestKeyReusedError extends CoordinatorError {
  readonly code = 'DTC_KEY_REUSED';

  constructor() {
    super(
      'This key was sent before with another request, so nothing was done. Give every request a key of its own.',
    );
  }
}

/**
 * The request was meant for another run of the coordinator. An earlier run may have done it, and this one
 * does not know its keys: nothing was done here. @publicApi
 */
export class OtherRunError extends CoordinatorError {
  readonly code = 'DTC_OTHER_RUN';

  constructor(
    readonly meant: string,
    readonly present: string,
  ) {
    super(
      `The request is meant for the run ${meant}, and this is the run ${present}, which does not know the request keys of earlier ` +
        'runs: nothing was done. If the request was never sent before, send it again for the present run.',
    );
  }
}

/** A transaction belongs to another member of the coordinator. Nothing was done here. @publicApi */
export class OtherMemberError extends CoordinatorError {
  readonly code = 'DTC_OTHER_MEMBER';

  /** @param member the epoch of the member, and its address if it has one. */
  constructor(
    readonly transactionId: string,
    readonly member: { readonly epoch: number; readonly address: string | null },
  ) {
    super(
      `The transaction ${transactionId} belongs to the member with the epoch ${member.epoch}` +
        `${member.address === null ? '' : ` at ${member.address}`}, so nothing was done here. Ask that member; if it is gone, ask for ` +
        'the outcome later.',
    );
  }
}

/** The coordinator takes no registrations at run time. @publicApi */
export class RegistrationClosedError extends CoordinatorError {
  readonly code = 'DTC_ADDRESS_REFUSED';

  constructor() {
    super(
      'This coordinator takes no participants in other processes, so nothing was registered. Import RemoteParticipantsModule with the ' +
        'options allow and registrations.',
    );
  }
}

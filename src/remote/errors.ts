import { CoordinatorError } from '../coordinator/index.js';

/**
 * A participant in another process was not reached, or has not answered. Its branch may be prepared there:
 * nothing is concluded from it.
 *
 * @publicApi
 */
export class ParticipantUnreachableError extends Error {
  readonly code = 'DTC_PARTICIPANT_UNREACHABLE';

  constructor(
    readonly participant: string,
    problem: string,
    options?: ErrorOptions,
  ) {
    super(`"${participant}" was not reached: ${problem}.`, options);
    this.name = 'ParticipantUnreachableError';
  }
}

/** A host has answered that its participant failed, with the code of the error there. @publicApi */
export class RemoteParticipantError extends Error {
  constructor(
    readonly participant: string,
    reason: string,
    readonly code: string,
  ) {
    super(`"${participant}" has failed in its process: ${reason}`);
    this.name = 'RemoteParticipantError';
  }
}

/** An address that no participant may have: nothing was registered. @publicApi */
export class AddressRefusedError extends CoordinatorError {
  readonly code = 'DTC_ADDRESS_REFUSED';

  constructor(problem: string) {
    super(`The address cannot be that of a participant, so nothing was registered: ${problem}.`);
  }
}

/** A participant that branches still need was to be removed: it was not. @publicApi */
export class ParticipantNeededError extends CoordinatorError {
  readonly code = 'DTC_PARTICIPANT_NEEDED';

  constructor(
    readonly participant: string,
    problem: string,
  ) {
    super(
      `Participant "${participant}" was not removed: ${problem}. Remove it again when its branches have ended, or register its new address.`,
    );
  }
}

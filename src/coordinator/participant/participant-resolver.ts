import type { ParticipantReference } from './branch-request.js';
import type { RegisteredParticipant } from './registered-participant.js';

/**
 * Finds participants for the execution. The registry of this process finds them by name. Another
 * implementation may reach them by address.
 */
export interface ParticipantResolver {
  /**
   * Another number whenever `resolve` may answer otherwise than before, or a participant that it has answered
   * may be another one. While it stays, an answer holds.
   *
   * @default undefined: no answer holds
   */
  readonly version?: number;

  /**
   * Finds the participant of a new branch.
   *
   * @throws UnknownParticipantError when there is none; InvalidRequestError when the reference fits several.
   */
  resolve(reference: ParticipantReference): RegisteredParticipant;

  /**
   * Finds the participant of a branch that must be completed. It never fails: a stand-in replaces a missing
   * participant.
   *
   * @param address the participant's address in the log; undefined if it was in the process that wrote the
   * record.
   */
  await(name: string, address?: string): RegisteredParticipant;
}

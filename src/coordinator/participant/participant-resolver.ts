import type { ParticipantReference } from './branch-request.js';
import type { RegisteredParticipant } from './registered-participant.js';

/**
 * How the execution comes to a participant. The registry of this process finds one by its name; another implementation may
 * reach one by its address.
 */
export interface ParticipantResolver {
  /**
   * Finds the participant of a branch that begins.
   *
   * @throws UnknownParticipantError when there is none; InvalidRequestError when the reference fits several.
   */
  get(reference: ParticipantReference): RegisteredParticipant;

  /**
   * Finds the participant of a branch that must be completed. It never fails: one that is missing is stood in for.
   *
   * @param address where the log says that it is reached; undefined for one of the process that wrote the record.
   */
  await(name: string, address?: string): RegisteredParticipant;
}

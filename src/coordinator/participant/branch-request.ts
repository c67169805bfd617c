import type { Type } from '@nestjs/common';
import type { TransactionParticipant } from './participant.js';

/** A participant named by its class, or by its registered name. @publicApi */
export type ParticipantReference<P = unknown> = string | Type<TransactionParticipant<P>>;

/** A branch that a caller wants to enlist: see {@link branch}. @publicApi */
export interface BranchRequest<P = unknown> {
  readonly participant: ParticipantReference<P>;
  readonly payload: P;
  readonly branchId: string | undefined;
}

/** What {@link branch} takes besides the participant and its payload. @publicApi */
export interface BranchOptions {
  /**
   * An id for the branch, of at most 64 characters from `A-Z a-z 0-9 . _ : -`. Enlisting the same id again, with an
   * equal payload, gives the branch that is there, so a repeated call adds nothing; another payload is refused.
   *
   * @default the participant's name, and for its second branch in a transaction the name with `.2`
   */
  readonly branchId?: string;
}

/**
 * Names a participant and what it is asked to do. Named by its class, the payload is checked by the compiler.
 *
 * @param participant the class, or the name it is registered under.
 * @param payload handed to the participant as it is. It must not change until the transaction is over.
 * @publicApi
 */
export function branch<P>(
  participant: Type<TransactionParticipant<P>>,
  payload: NoInfer<P>,
  options?: BranchOptions,
): BranchRequest<P>;
export function branch(participant: string, payload: unknown, options?: BranchOptions): BranchRequest;
export function branch(
  participant: ParticipantReference,
  payload: unknown,
  options?: BranchOptions,
): BranchRequest {
  return { participant, payload, branchId: options?.branchId };
}

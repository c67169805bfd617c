import type { Type } from '@nestjs/common';
import { InvalidRequestError } from '../errors.js';
import { messageOf } from '../gate/texts.js';
import type { LastResource } from './last-resource.js';
import type { TransactionParticipant } from './participant.js';

/** Names a participant by its class, or by its registered name. @publicApi */
export type ParticipantReference<P = unknown> = string | Type<TransactionParticipant<P> | LastResource<P>>;

/** A branch that a caller wants to enlist. {@link branch} makes one. @publicApi */
export interface BranchRequest<P = unknown> {
  readonly participant: ParticipantReference<P>;
  readonly payload: P;
  readonly branchId: string | undefined;
}

/** The options of {@link branch}. @publicApi */
export interface BranchOptions {
  /**
   * The id of the branch: at most 64 characters from `A-Z a-z 0-9 . _ : -`. If the caller enlists the same id
   * again with an equal payload, it gets the existing branch, so a repeated call adds nothing. A different
   * payload is refused.
   *
   * @default the participant's name, and for its second branch in a transaction the name with `.2`
   */
  readonly branchId?: string;
}

/**
 * Names a participant and what it has to do. If the participant is given as a class, the compiler checks the
 * payload.
 *
 * @param participant the class of the participant, or its registered name.
 * @param payload passed to the participant unchanged. The caller must not change it until the transaction has
 * ended.
 * @publicApi
 */
export function branch<P>(
  participant: Type<TransactionParticipant<P>>,
  payload: NoInfer<P>,
  options?: BranchOptions,
): BranchRequest<P>;
export function branch<P>(
  participant: Type<LastResource<P>>,
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

/** @throws InvalidRequestError when there is no branch at that place, or it cannot be read. */
export function branchAt(branches: readonly unknown[], index: number): BranchRequest {
  let branch: unknown;
  try {
    branch = branches[index];
  } catch (error) {
    throw unreadableBranch(error);
  }
  return readBranch(branch);
}

/**
 * @returns the branch that the caller wants to enlist, each field read once. The content of the payload is
 * not read.
 * @throws InvalidRequestError when it is not a branch, or cannot be read.
 */
export function readBranch(request: unknown): BranchRequest {
  try {
    const { participant, payload, branchId } = request as BranchRequest;
    return { participant, payload, branchId };
  } catch (error) {
    throw unreadableBranch(error);
  }
}

function unreadableBranch(error: unknown): InvalidRequestError {
  return new InvalidRequestError('branch', `must be made by branch(): ${messageOf(error)}`);
}

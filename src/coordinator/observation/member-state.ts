import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { MemberEpoch } from '../log/shared-log.js';

/**
 * What the log knows of one epoch that is not settled.
 *
 * - `alive`: its lease is valid.
 * - `lost`: its lease has expired, and no member has fenced it yet.
 * - `fenced`: it writes nothing more, and no living member has adopted it yet.
 * - `adopted`: a living member completes what it has left.
 *
 * @publicApi
 */
export type MemberState = 'alive' | 'lost' | 'fenced' | 'adopted';

export const MEMBER_STATES: readonly MemberState[] = ['alive', 'lost', 'fenced', 'adopted'];

/** @returns the state of an epoch, as it was when the log has listed the members. */
export function memberState(
  { isFenced, ageMs, adoptedBy }: MemberEpoch,
  { members, parts }: CoordinatorRuntime,
): MemberState {
  if (!isFenced) return ageMs > parts.options.leaseMs ? 'lost' : 'alive';
  const adopter = adoptedBy === null ? undefined : members.of(adoptedBy);
  return adopter === undefined || adopter.isFenced ? 'fenced' : 'adopted';
}

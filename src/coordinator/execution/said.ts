import type { CommitRecord } from '../log/decision-log.js';
import type { Attributes } from '../participant/attributes.js';
import type { CallerNote } from '../participant/caller-note.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { HeuristicKind } from '../protocol/index.js';

/** The cause of an abort at one branch. */
export interface Refusal {
  readonly code: string | undefined;
  readonly reason: string;
  /** The error, until the caller has been told. */
  error: unknown;
  /** Whether its only problem was a conflict with another transaction. */
  readonly conflict?: boolean;
  /** Whether the same request may succeed later. */
  readonly temporary?: boolean;
}

/** A participant's report that the branch ended against the decision. */
export interface BranchHeuristic {
  readonly kind: HeuristicKind;
  readonly reason: string;
}

/**
 * Until when a branch that voted commit can commit. Moments are on the coordinator's clock, in milliseconds.
 */
export class VoteExpiry {
  /** Whether it was reported that this moment is near. */
  isAnnounced = false;
  /** Whether it was reported that this moment has passed without a completion. */
  isMissed = false;

  constructor(
    readonly expiresAt: number,
    /** When it has to be reported that this moment is near. */
    readonly announceAt: number,
  ) {}
}

/**
 * @param epochMs when the coordinator's clock began, in milliseconds since the epoch.
 * @returns a branch as the log keeps it.
 */
export function recordOf(
  branch: {
    readonly branchId: string;
    readonly participant: RegisteredParticipant;
    readonly payload: unknown;
    readonly expiry: VoteExpiry | undefined;
  },
  completed: boolean,
  epochMs: number,
): CommitRecord['branches'][number] {
  const { branchId, participant, payload, expiry } = branch;
  const { name, address } = participant;
  const record =
    address === undefined
      ? { branchId, participant: name, payload, completed }
      : { branchId, participant: name, address, payload, completed };
  return expiry === undefined ? record : { ...record, expiresAt: epochMs + expiry.expiresAt };
}

/** @returns the fields of a record beside its decision. A field without a value would make it unreadable. */
export function notesOf({
  attributes,
  caller,
  group,
}: {
  readonly attributes: Attributes | undefined;
  readonly caller: CallerNote | undefined;
  /** Of a group: the transactions that its record commits. */
  readonly group: { readonly members: CommitRecord['members'] } | undefined;
}): Partial<CommitRecord> {
  const members = group?.members;
  return {
    ...(attributes !== undefined && { attributes }),
    ...(caller !== undefined && { caller }),
    ...(members !== undefined && { members }),
  };
}

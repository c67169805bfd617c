/** The type of an incident: an event that does not happen to every branch. @publicApi */
export type IncidentType =
  | 'refused'
  | 'prepare-failed'
  | 'prepare-timed-out'
  | 'late-answer'
  | 'attempt-failed'
  | 'attempt-timed-out'
  | 'stalled'
  | 'held'
  | 'heuristic'
  | 'reopened'
  | 'record-unknown'
  | 'vote-expiring'
  | 'vote-expired';

/** An irregular event at one branch. */
export interface Incident {
  /** Microseconds since the transaction began. */
  readonly atUs: number;
  readonly type: IncidentType;
  /** The index of the branch, or -1 when no branch is concerned. */
  readonly branch: number;
  /** The attempt, from 1; 0 when there is none. */
  readonly attempt: number;
  readonly message: string;
}

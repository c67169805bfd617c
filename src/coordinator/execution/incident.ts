export { describeAnswer, messageOf } from '../gate/texts.js';

/** Something that went otherwise than it should, at one branch. */
export interface Incident {
  /** Microseconds since the begin of the transaction. */
  readonly atUs: number;
  readonly type:
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
    | 'record-unknown';
  /** The index of the branch, or -1 when none is concerned. */
  readonly branch: number;
  /** The attempt, from 1; 0 where there is none. */
  readonly attempt: number;
  readonly message: string;
}

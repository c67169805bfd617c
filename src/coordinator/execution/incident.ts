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
    | 'record-unknown';
  /** The index of the branch, or -1 when none is concerned. */
  readonly branch: number;
  /** The attempt, from 1; 0 where there is none. */
  readonly attempt: number;
  readonly message: string;
}

const MAX_MESSAGE_LENGTH = 300;

/** @returns what was thrown in words, short enough to be kept and logged. */
export function messageOf(error: unknown): string {
  let message: string;
  try {
    message = String(error instanceof Error ? error.message || error.name : error);
  } catch {
    // What was thrown refuses to be made a text, which is no reason to fail here.
    message = 'something that cannot be shown was thrown';
  }
  return message.length > MAX_MESSAGE_LENGTH ? `${message.slice(0, MAX_MESSAGE_LENGTH)}…` : message;
}

/** @returns what kind of value was answered where another was due. What it holds is kept out of logs. */
export function describeAnswer(value: unknown): string {
  if (value === undefined || value === null) return String(value);
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

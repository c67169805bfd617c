/** Two random bits keep the claims of one microsecond apart, and the number within what a double holds exactly. */
const CLAIMS_PER_MICROSECOND = 4;

/**
 * @returns the epoch of a log that knows of none before: the moment, so that ids of an earlier log that was lost, or was
 * kept elsewhere, are not made again. Participants remember branches by their ids, and would take new work for a repeat.
 */
export function firstEpoch(): number {
  const microseconds = Math.floor((performance.timeOrigin + performance.now()) * 1000);
  return microseconds * CLAIMS_PER_MICROSECOND + Math.floor(Math.random() * CLAIMS_PER_MICROSECOND);
}

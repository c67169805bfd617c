/** The longest time for which a vote can hold: 31 days, in milliseconds. @publicApi */
export const MAX_VALID_FOR_MS = 2_678_400_000;

/** Whether a vote for commit can hold for that time. */
export function isValidFor(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value <= MAX_VALID_FOR_MS;
}

/** @returns the problem with the time of a vote for commit, and how to fix it. */
export function describeValidFor(value: unknown): string {
  if (value === undefined) {
    return 'a vote for commit without validForMs (answer "commit" if it does not expire)';
  }
  const given = typeof value === 'number' ? `of ${value}` : 'that is not a number';
  return `a vote for commit with a validForMs ${given} (give milliseconds, more than 0 and at most ${MAX_VALID_FOR_MS})`;
}

/**
 * @returns a vote for commit that expires, read once and copied; undefined when the value is none or cannot
 * be read.
 */
export function expiringVoteIn(
  value: unknown,
): { readonly vote: 'commit'; readonly validForMs: number } | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  try {
    const { vote, validForMs } = value as Readonly<Record<string, unknown>>;
    return vote === 'commit' && isValidFor(validForMs) ? Object.freeze({ vote, validForMs }) : undefined;
  } catch {
    // A value that cannot be read is not a vote.
    return undefined;
  }
}

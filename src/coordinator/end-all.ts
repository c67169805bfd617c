/** Ends something: closes a connection, stops a job. */
export type End = () => unknown;

/**
 * Ends several things at the same time, and waits for all of them. If one fails, the others still end.
 *
 * @throws the error of the one that has failed, or an AggregateError of several, when all have ended.
 */
export async function endAll(ends: Iterable<End>): Promise<void> {
  const answers = await Promise.allSettled(Array.from(ends, async (end) => end()));
  throwAny(answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : [])));
}

/**
 * As {@link endAll}, one after the other: each needs those after it for its own end.
 *
 * @throws as {@link endAll}.
 */
export async function endInTurn(ends: Iterable<End>): Promise<void> {
  const errors: unknown[] = [];
  for (const end of ends) {
    try {
      await end();
    } catch (error) {
      errors.push(error);
    }
  }
  throwAny(errors);
}

function throwAny(errors: readonly unknown[]): void {
  if (errors.length === 1) throw errors[0];
  if (errors.length > 1) throw new AggregateError(errors, errors.map(String).join('; '));
}

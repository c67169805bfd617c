/** The environment cannot be used. Its message is one line, and the application does not start. */
export class EnvironmentError extends Error {
  readonly code = 'DTC_INVALID_OPTIONS';

  constructor(readonly problems: readonly string[]) {
    super(`The environment cannot be used: ${problems.join('; ')}.`);
    this.name = 'EnvironmentError';
  }
}

/**
 * Runs one of several readers whose problems are all reported at once.
 *
 * @param problems receives the problems of this reader.
 * @returns the result; undefined when there were problems.
 */
export function gather<T>(problems: string[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof EnvironmentError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

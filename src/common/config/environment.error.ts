/** The environment cannot be used. Its message is one line, and the application does not start. */
export class EnvironmentError extends Error {
  constructor(readonly problems: readonly string[]) {
    super(`The environment cannot be used: ${problems.join('; ')}.`);
    this.name = 'EnvironmentError';
  }
}

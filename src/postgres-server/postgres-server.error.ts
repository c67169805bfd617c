/** PostgreSQL could not be started. Its message is one line, and the application does not start. */
export class PostgresServerError extends Error {
  constructor(problem: string, options?: ErrorOptions) {
    super(`PostgreSQL could not be started: ${problem.replace(/\.$/, '')}.`, options);
    this.name = 'PostgresServerError';
  }
}

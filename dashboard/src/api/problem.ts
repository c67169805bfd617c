/** An error answer of the interface. */
export class ProblemError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, detail: string) {
    super(detail);
    this.name = 'ProblemError';
    this.status = status;
    this.code = code;
  }

  /** Whether a token is missing or unknown. */
  get isUnauthenticated(): boolean {
    return this.status === 401;
  }
}

/** No answer came, so it is unknown whether the request arrived. */
export class NoAnswerError extends Error {
  constructor(cause: unknown) {
    super('The coordinator did not answer.', { cause });
    this.name = 'NoAnswerError';
  }
}

/**
 * @returns the problem in an answer with an error status, also from a proxy, which may answer with a page.
 */
export async function problemOf(answer: Response): Promise<ProblemError> {
  const body: unknown = await answer.json().catch(() => undefined);
  const { code, detail, errors } = (typeof body === 'object' && body !== null ? body : {}) as {
    readonly [field in 'code' | 'detail' | 'errors']?: unknown;
  };
  const sentences = Array.isArray(errors) ? errors.map(String) : [];
  return new ProblemError(
    answer.status,
    typeof code === 'string' ? code : `HTTP ${answer.status}`,
    [typeof detail === 'string' ? detail : 'The request was refused.', ...sentences].join(' '),
  );
}

/** @returns the problem and its code, for people. */
export function describeProblem(error: unknown): string {
  if (error instanceof ProblemError) return `${error.message} (${error.code})`;
  return error instanceof Error ? error.message : String(error);
}

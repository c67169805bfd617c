import { NoAnswerError, problemOf } from './problem.js';

const TIMEOUT_MS = 15_000;
/** An action on many goes on for ten seconds, and its last part may take twelve. */
const ACTION_TIMEOUT_MS = 25_000;

/** Sends requests to the coordinator, with the token of the user. */
export class Client {
  /** The interface is beside the page, under any prefix that both have. */
  private readonly base: string;
  readonly token: string | null;

  constructor(token: string | null, base: string = new URL('.', document.baseURI).href) {
    this.token = token;
    this.base = base;
  }

  /**
   * @param path relative to the interface, without a leading slash.
   * @throws ProblemError for an error answer; NoAnswerError when there is no answer.
   */
  async get<T>(path: string, signal?: AbortSignal): Promise<T> {
    return this.json<T>(path, { signal: limited(signal) });
  }

  /** Sends an action once. It is never repeated here: only a person may decide to do an action twice. */
  async post<T>(path: string, body: object): Promise<T> {
    return this.json<T>(path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(ACTION_TIMEOUT_MS),
    });
  }

  /** @returns an answer whose body is still to come. It ends with the signal only. */
  async open(path: string, accept: string, signal: AbortSignal): Promise<Response> {
    return this.send(path, { signal, headers: { Accept: accept } });
  }

  private async json<T>(path: string, init: RequestInit): Promise<T> {
    const answer = await this.send(path, init);
    try {
      return (await answer.json()) as T;
    } catch (error) {
      throw new NoAnswerError(error);
    }
  }

  private async send(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.token !== null) headers.set('Authorization', `Bearer ${this.token}`);
    let answer: Response;
    try {
      answer = await fetch(this.base + path, {
        ...init,
        headers,
        cache: 'no-store',
        credentials: 'omit',
        redirect: 'error',
      });
    } catch (error) {
      throw new NoAnswerError(error);
    }
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }
}

function limited(signal?: AbortSignal): AbortSignal {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
}

import {
  Agent as HttpAgent,
  type IncomingMessage,
  type RequestOptions,
  request as httpRequest,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import type { ResolvedRestAtOptions } from './options.js';
import { STATUS_TYPE, type Status, bodyOf } from './status.js';

/** An answer says one status. A longer one is none. */
const MAX_ANSWER_BYTES = 4_096;
/** Below the time after which servers usually close an idle connection. */
const IDLE_MS = 4_000;

/** Calls that hang leave the decisions their connections. */
export type Lane = 'work' | 'completion';

/** One request to a resource of a participant. */
export interface ParticipantCall {
  readonly lane: Lane;
  readonly method: 'PUT' | 'HEAD' | 'DELETE';
  readonly url: string;
  /** The status that is told to it. @default none */
  readonly status?: Status;
  readonly timeLeftMs: number;
  readonly signal?: AbortSignal;
}

/** The answer of a participant. */
export interface ParticipantAnswer {
  readonly code: number;
  readonly text: string;
  readonly link: string | undefined;
}

/** Reaches the participants of REST-AT. It follows no redirect, and repeats nothing. */
export class ParticipantCalls {
  private readonly agents: Readonly<Record<Lane, { readonly http: HttpAgent; readonly https: HttpsAgent }>>;

  private readonly allow: ResolvedRestAtOptions['allow'];

  constructor({ allow, limits, tls }: Pick<ResolvedRestAtOptions, 'allow' | 'limits' | 'tls'>) {
    const { maxConnections } = limits;
    this.allow = allow;
    const settings = {
      keepAlive: true,
      maxSockets: maxConnections,
      maxFreeSockets: maxConnections,
      timeout: IDLE_MS,
    };
    const agents = (): { http: HttpAgent; https: HttpsAgent } => ({
      http: new HttpAgent(settings),
      https: new HttpsAgent({ ...settings, ...tls }),
    });
    this.agents = { work: agents(), completion: agents() };
  }

  /**
   * @returns a promise that rejects when there was no whole answer in time, and for an address that is not
   * allowed.
   */
  async send({ lane, method, url, status, timeLeftMs, signal }: ParticipantCall): Promise<ParticipantAnswer> {
    // The log may hold an address that is no longer allowed.
    const target = this.allow.checkResource(url);
    const isSecure = target.protocol === 'https:';
    const body = status === undefined ? '' : bodyOf(status);
    const settings: RequestOptions = {
      method,
      agent: isSecure ? this.agents[lane].https : this.agents[lane].http,
      ...(signal !== undefined && { signal }),
      headers: {
        Accept: `${STATUS_TYPE}, */*`,
        ...(method === 'PUT' && { 'Content-Type': STATUS_TYPE, 'Content-Length': Buffer.byteLength(body) }),
      },
    };
    return new Promise((resolve, reject) => {
      const request = isSecure ? httpsRequest(target, settings) : httpRequest(target, settings);
      const timer = setTimeout(
        () => request.destroy(new Error('it has not answered in time')),
        Math.max(1, timeLeftMs),
      );
      const fail = (error: Error): void => {
        clearTimeout(timer);
        reject(error);
      };
      request.on('error', fail);
      request.on('response', (response) => {
        answerIn(response).then(
          (answer) => {
            clearTimeout(timer);
            resolve(answer);
          },
          (error: Error) => {
            request.destroy();
            fail(error);
          },
        );
      });
      request.end(body);
    });
  }

  close(): void {
    for (const { http, https } of Object.values(this.agents)) {
      http.destroy();
      https.destroy();
    }
  }
}

/** @throws Error when it is a 200 with more than a status. Any other answer is not read to its end. */
async function answerIn(response: IncomingMessage): Promise<ParticipantAnswer> {
  const code = response.statusCode ?? 0;
  const { link } = response.headers as { readonly link?: string };
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    // Leaving the loop ends the connection.
    if (bytes > MAX_ANSWER_BYTES && code !== 200) return { code, text: '', link };
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`its answer has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return { code, text: Buffer.concat(chunks).toString('utf8'), link };
}

import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingMessage,
  type RequestOptions,
  request as requestByHttp,
} from 'node:http';
import { Agent as HttpsAgent, request as requestByHttps } from 'node:https';
import { type TlsSource, secureRequest, tlsProblemOf } from '../hop/index.js';

/** The time for one answer, in milliseconds. */
const TIMEOUT_MS = 5_000;
/** Far larger than any answer. */
const MAX_ANSWER_BYTES = 16 * 1024;
/** A host asks one thing after the other. */
const MAX_CONNECTIONS = 4;
/** Below the time after which servers usually close an idle connection. */
const IDLE_MS = 4_000;

/** The answer of a member of the coordinator. */
export interface MemberAnswer {
  readonly status: number;
  readonly text: string;
}

/** One request to a member. */
export interface MemberQuestion {
  readonly method: 'GET' | 'PUT';
  readonly authorization: string;
  /** JSON. */
  readonly body?: string | undefined;
  /** Ends the request. */
  readonly signal: AbortSignal;
}

/** The connections of a host to the members of its coordinator. They stay open. No redirect is followed. */
export class CoordinatorConnection {
  private readonly agents = { http: agentOf(HttpAgent), https: agentOf(HttpsAgent) };

  /** @param tls the certificates for https. */
  constructor(private readonly tls: TlsSource | undefined) {}

  /**
   * @throws (as a rejection) an error that says why there is no answer: none in time, one that is too long, a
   * redirect, or a certificate that is refused.
   */
  async ask(url: string, question: MemberQuestion): Promise<MemberAnswer> {
    const signal = AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), question.signal]);
    let response: IncomingMessage | undefined;
    try {
      response = await this.send(url, question, signal);
      const { statusCode: status = 0 } = response;
      if (status >= 300 && status < 400) {
        response.destroy();
        throw new Error('it answers with a redirect, which is not followed: give its own URL as a member');
      }
      return { status, text: await textOf(response) };
    } catch (error) {
      question.signal.throwIfAborted();
      if (signal.aborted) throw new Error(`no answer within ${TIMEOUT_MS} ms`, { cause: error });
      const problem = tlsProblemOf(error, response === undefined && url.startsWith('https:'));
      throw problem === undefined ? error : new Error(problem, { cause: error });
    }
  }

  close(): void {
    for (const agent of Object.values(this.agents)) agent.destroy();
  }

  private send(
    url: string,
    { method, authorization, body }: MemberQuestion,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const isSecure = url.startsWith('https:');
    const options: RequestOptions = {
      ...(isSecure && secureRequest(this.tls)),
      method,
      signal,
      agent: isSecure ? this.agents.https : this.agents.http,
      headers: {
        Authorization: authorization,
        Accept: 'application/json',
        ...(body !== undefined && {
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(body),
        }),
      },
    };
    return new Promise((resolve, reject) => {
      const sent: ClientRequest = (isSecure ? requestByHttps : requestByHttp)(url, options);
      sent.once('response', resolve);
      sent.on('error', reject);
      // Without an answer, such as after 101, no error may come.
      sent.once('close', () => reject(new Error('the connection was closed before an answer')));
      sent.end(body);
    });
  }
}

function agentOf<A>(
  Agent: new (options: { keepAlive: boolean; maxSockets: number; timeout: number }) => A,
): A {
  return new Agent({ keepAlive: true, maxSockets: MAX_CONNECTIONS, timeout: IDLE_MS });
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`its answer has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

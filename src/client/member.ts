import {
  Agent as HttpAgent,
  type ClientRequest,
  type IncomingMessage,
  request as requestHttp,
} from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { activeTrace } from '../coordinator/observation/tracing/trace-context.js';
import { type TlsSource, isRefusedCertificate, secureRequest, tlsProblemOf } from '../hop/index.js';
import { type GreetingAnswer, greetingSchema } from '../server/wire/index.js';

/** The result of one attempt of a request at one member. */
export type Tried =
  /** It has answered with JSON. */
  | {
      readonly kind: 'answered';
      readonly status: number;
      readonly body: unknown;
      readonly retryAfterMs?: number;
    }
  /** The request has certainly not reached it. */
  | { readonly kind: 'not-sent'; readonly problem: string }
  /** It may have done what was asked. */
  | { readonly kind: 'lost'; readonly problem: string };

/** A request to a member. */
export interface MemberRequest {
  readonly method: 'GET' | 'POST';
  /** Relative to the address of the member, and escaped. */
  readonly path: string;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The limits of the connections to one member. */
export interface MemberLimits {
  /** The most requests to it at the same time. Others wait for a connection. */
  readonly maxConnections: number;
  /** The most bytes of an answer. */
  readonly maxAnswerBytes: number;
  /** Certificates for https. */
  readonly tls: TlsSource | undefined;
}

/** Errors of a connection that was never made. */
const NOT_CONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

/** One member of the coordinator, over connections that are kept open. It follows no redirect. */
export class Member {
  private readonly agent: HttpAgent;
  private readonly isSecure: boolean;
  /** The information of the member about itself, which is asked for again after its run has changed. */
  private greeted: GreetingAnswer | undefined;

  /**
   * @param address its URL with the prefix of the interface, without a slash at the end.
   * @param token read at each request, so that it may change.
   */
  constructor(
    readonly address: string,
    private readonly token: () => string,
    private readonly limits: MemberLimits,
  ) {
    this.isSecure = address.startsWith('https:');
    const options = { keepAlive: true, maxSockets: limits.maxConnections };
    this.agent = this.isSecure ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /** Where other processes say that it is. */
  get origin(): string {
    return new URL(this.address).origin;
  }

  /**
   * @param timeoutMs after which the answer counts as lost.
   * @returns the result of the attempt; it never rejects.
   */
  ask(asked: MemberRequest, timeoutMs: number): Promise<Tried> {
    return new Promise((resolve) => {
      const { method, path, body, headers } = asked;
      const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
      const signal = AbortSignal.timeout(Math.max(1, Math.ceil(timeoutMs)));
      let sent: ClientRequest;
      let isOver = false;
      let isAnswered = false;
      const end = (tried: Tried): void => {
        if (isOver) return;
        isOver = true;
        resolve(tried);
        // After a whole answer this gives the connection back; otherwise it ends it.
        if (tried.kind !== 'answered') sent?.destroy();
      };
      try {
        sent = (this.isSecure ? requestHttps : requestHttp)(this.address + path, {
          ...(this.isSecure && secureRequest(this.limits.tls)),
          method,
          agent: this.agent,
          signal,
          headers: {
            accept: 'application/json, application/problem+json',
            authorization: `Bearer ${this.token()}`,
            ...activeTrace(),
            ...(content && { 'content-type': 'application/json', 'content-length': String(content.length) }),
            ...headers,
          },
        });
      } catch (error) {
        resolve({ kind: 'not-sent', problem: problemOf(error) });
        return;
      }
      sent.on('error', (error) => end(this.failed(error, !isAnswered && !sent.reusedSocket)));
      // Without an answer, such as after 101, no error may come.
      sent.on('close', () => {
        if (!isAnswered)
          end({ kind: 'lost', problem: `${this.address} has closed the connection without an answer` });
      });
      sent.on('response', (response) => {
        isAnswered = true;
        this.read(response, end);
      });
      sent.end(content);
    });
  }

  /** @returns the information of the member about itself, or the result of a failed attempt. */
  async greet(timeoutMs: number): Promise<GreetingAnswer | Tried> {
    if (this.greeted !== undefined) return this.greeted;
    const tried = await this.ask({ method: 'GET', path: '' }, timeoutMs);
    if (tried.kind !== 'answered' || tried.status !== 200) return tried;
    const parsed = greetingSchema.safeParse(tried.body);
    if (!parsed.success) return { kind: 'not-sent', problem: `${this.address} is no coordinator` };
    this.greeted = parsed.data;
    return parsed.data;
  }

  /** Its run may be another one now. */
  forgetGreeting(): void {
    this.greeted = undefined;
  }

  /** Ends its connections. */
  close(): void {
    this.agent.destroy();
  }

  private read(response: IncomingMessage, end: (tried: Tried) => void): void {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > this.limits.maxAnswerBytes) {
        end({
          kind: 'lost',
          problem: `${this.address} answers with more than ${this.limits.maxAnswerBytes} bytes`,
        });
      } else chunks.push(chunk);
    });
    response.on('error', (error) => end({ kind: 'lost', problem: problemOf(error) }));
    response.on('end', () => end(answerOf(response, Buffer.concat(chunks).toString(), this.address)));
    response.on('close', () => end({ kind: 'lost', problem: `${this.address} has ended its answer early` }));
  }

  private failed(error: Error, isNew: boolean): Tried {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    const isNotSent = NOT_CONNECTED.has(code) || isRefusedCertificate(error);
    return {
      kind: isNotSent ? 'not-sent' : 'lost',
      problem: tlsProblemOf(error, isNew && this.isSecure) ?? problemOf(error),
    };
  }
}

/**
 * Everything but JSON with a status of its own is no answer of a coordinator: a proxy between may have made
 * it.
 */
function answerOf(
  { statusCode: status = 0, headers }: IncomingMessage,
  text: string,
  address: string,
): Tried {
  const type = headers['content-type'] ?? '';
  const isJson = /^application\/(problem\+)?json\b/.test(type);
  if (!isJson || status < 200 || (status >= 300 && status < 400) || (status >= 500 && status !== 503)) {
    return { kind: 'lost', problem: `${address} answers with status ${status}` };
  }
  const seconds = Number(headers['retry-after']);
  try {
    const body: unknown = JSON.parse(text);
    return {
      kind: 'answered',
      status,
      body,
      ...(Number.isFinite(seconds) && seconds >= 0 && { retryAfterMs: seconds * 1_000 }),
    };
  } catch {
    return { kind: 'lost', problem: `${address} answers with JSON that cannot be read` };
  }
}

function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return 'an unknown error';
  const { code } = error as NodeJS.ErrnoException;
  return error.name === 'AbortError' || error.name === 'TimeoutError'
    ? 'no answer in time'
    : (code ?? error.message);
}

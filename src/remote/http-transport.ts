import {
  Agent as HttpAgent,
  type IncomingMessage,
  type RequestOptions,
  request as httpRequest,
} from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { addressOf } from './addresses.js';
import { oneLine } from '../coordinator/gate/texts.js';
import { type TlsSource, secureRequest, tlsProblemOf } from '../hop/index.js';
import type { CallKind, ParticipantTransport } from './transport.js';
import { type Credentials, MAX_ANSWER_BYTES, MAX_CALLS, bearerOf } from './wire/index.js';

/** The most bytes in the answers to one message. */
const MAX_RESPONSE_BYTES = 64 * MAX_ANSWER_BYTES;
/** The most answers to one message. A host gives one to each call. */
const MAX_ANSWERS = 2 * MAX_CALLS;
/** So much of a refusal is shown. */
const MAX_REFUSAL_BYTES = 2_000;
const CONTENT_TYPE = 'application/x-ndjson';
/** Below the time after which servers usually close an idle connection. */
const IDLE_MS = 4_000;
const LINE_FEED = 0x0a;

/** The options of {@link HttpTransport}. @publicApi */
export interface HttpTransportOptions {
  /** The token that is sent. */
  readonly credentials: Credentials;
  /** The most connections to the host of one participant, for each kind of call. @default 16 */
  readonly maxConnections?: number | undefined;
  /** Certificates for https: `ca`, `cert`, `key`, `servername`, or a function such as that of `tlsFrom`. @default those of Node */
  readonly tls?: TlsSource | undefined;
}

/**
 * Reaches a participant host over HTTP, on connections of its own that stay open. It follows no redirect, and takes
 * only answers of the documented form and size.
 *
 * @publicApi
 */
export class HttpTransport implements ParticipantTransport {
  readonly address: string;
  /** Where messages go, as `node:http` takes it. */
  private readonly target: Pick<RequestOptions, 'protocol' | 'hostname' | 'port' | 'path'>;
  /** One for each kind: prepares that hang leave the decisions their connections. */
  private readonly agents: Readonly<Record<CallKind, HttpAgent>>;
  private readonly isSecure: boolean;

  /** @throws AddressRefusedError when the address is no URL of HTTP. */
  constructor(
    address: string,
    private readonly options: HttpTransportOptions,
  ) {
    const base = addressOf(address);
    this.address = address;
    const { protocol, hostname, port, pathname } = new URL(`${base.pathname.replace(/\/$/, '')}/calls`, base);
    // The brackets of an IPv6 address belong to the URL.
    this.target = { protocol, hostname: hostname.replace(/^\[(.*)\]$/, '$1'), port, path: pathname };
    this.isSecure = base.protocol === 'https:';
    const { maxConnections = 16 } = options;
    const settings = {
      keepAlive: true,
      maxSockets: maxConnections,
      maxFreeSockets: maxConnections,
      timeout: IDLE_MS,
    };
    const agent = (): HttpAgent => (this.isSecure ? new HttpsAgent(settings) : new HttpAgent(settings));
    this.agents = { work: agent(), completion: agent(), administration: agent() };
  }

  /** @param kind as {@link ParticipantTransport.send} has it. @default 'work' */
  send(
    message: string,
    receive: (answer: unknown) => void,
    timeLeftMs: number,
    kind: CallKind = 'work',
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const settings: RequestOptions = {
        ...this.target,
        method: 'POST',
        agent: this.agents[kind],
        headers: {
          Authorization: bearerOf(this.options.credentials),
          'Content-Type': 'application/json',
          'Content-Length': Buffer.byteLength(message),
          Accept: CONTENT_TYPE,
        },
      };
      const request = this.isSecure
        ? httpsRequest({ ...settings, ...secureRequest(this.options.tls) })
        : httpRequest(settings);
      let isAnswered = false;
      const timer = setTimeout(
        () => request.destroy(new Error(`no answer within ${timeLeftMs} ms`)),
        timeLeftMs,
      );
      const end = (error?: Error): void => {
        clearTimeout(timer);
        if (error === undefined) resolve();
        else reject(explained(error, this.isSecure && !isAnswered && !request.reusedSocket));
      };
      request.on('error', end);
      // Without an answer, such as after 101, no error may come. After one it changes nothing.
      request.on('close', () => {
        if (!isAnswered) end(new Error('the connection was closed before an answer'));
      });
      request.on('response', (response) => {
        isAnswered = true;
        void this.read(response, receive).then(
          () => end(),
          (error: Error) => {
            request.destroy();
            end(error);
          },
        );
      });
      // As a text, it leaves in one write with its header.
      request.end(message);
    });
  }

  close(): void {
    for (const agent of Object.values(this.agents)) agent.destroy();
  }

  private async read(response: IncomingMessage, receive: (answer: unknown) => void): Promise<void> {
    const { statusCode, headers } = response;
    if (statusCode !== 200) throw new Error(`${statusCode}${await refusalIn(response)}`);
    if (headers['content-type']?.split(';', 1)[0]?.trim() !== CONTENT_TYPE) {
      throw new Error(`the answer is no ${CONTENT_TYPE}, so it is not that of a participant host`);
    }
    await readLines(response, (line) => receive(valueIn(line)));
  }
}

/**
 * Reads the lines of a response. A line without an end is none.
 *
 * @returns a promise that rejects when the response breaks off or has too many bytes, and when `take` throws.
 */
function readLines(response: IncomingMessage, take: (line: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let bytes = 0;
    let begun: Buffer[] = [];
    let begunBytes = 0;
    let answers = 0;
    const read = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > MAX_RESPONSE_BYTES) throw new Error(`the answer has more than ${MAX_RESPONSE_BYTES} bytes`);
      let from = 0;
      for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, from)) {
        begun.push(chunk.subarray(from, end));
        if (++answers > MAX_ANSWERS)
          throw new Error(`it has more than ${MAX_ANSWERS} answers to one message`);
        const line = begun.length === 1 ? begun[0]! : Buffer.concat(begun);
        begun = [];
        begunBytes = 0;
        from = end + 1;
        take(line.toString('utf8'));
      }
      if (from === chunk.length) return;
      begun.push(chunk.subarray(from));
      begunBytes += chunk.length - from;
      if (begunBytes > MAX_ANSWER_BYTES) throw new Error(`an answer has more than ${MAX_ANSWER_BYTES} bytes`);
    };
    response.on('data', (chunk: Buffer) => {
      try {
        read(chunk);
      } catch (error) {
        response.destroy();
        reject(error);
      }
    });
    response.on('end', resolve);
    response.on('error', reject);
    response.on('close', () => {
      if (!response.readableEnded) reject(new Error('the answer has broken off'));
    });
  });
}

/** @returns the error, with the cause and the remedy where TLS was the reason. */
function explained(error: Error, isNew: boolean): Error {
  const problem = tlsProblemOf(error, isNew);
  return problem === undefined ? error : new Error(oneLine(problem), { cause: error });
}

/** @returns undefined for what is no JSON: that is no answer. */
function valueIn(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

/** @returns why the host has refused the message, as far as it says so. */
async function refusalIn(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8');
    if (text.length >= MAX_REFUSAL_BYTES) break;
  }
  try {
    const { code, detail } = JSON.parse(text) as { readonly code?: unknown; readonly detail?: unknown };
    return typeof code === 'string' && typeof detail === 'string'
      ? oneLine(`, ${code.slice(0, 100)}: ${detail.slice(0, 200)}`)
      : '';
  } catch {
    return '';
  }
}

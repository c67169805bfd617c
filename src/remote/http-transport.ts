import { addressOf } from './addresses.js';
import { oneLine } from '../coordinator/gate/texts.js';
import { type TlsSource, secureRequest, tlsProblemOf } from '../hop/index.js';
import { type Endpoint, type Exchange, HttpConnections } from './http-connections.js';
import type { CallKind, ParticipantTransport } from './transport.js';
import { type Credentials, MAX_ANSWER_BYTES, MAX_CALLS, bearerOf } from './wire/index.js';

/** The most bytes in the answers to one message. */
const MAX_RESPONSE_BYTES = 64 * MAX_ANSWER_BYTES;
/** The most answers to one message. A host gives one to each call. */
const MAX_ANSWERS = 2 * MAX_CALLS;
/** The most characters of a refusal that are shown. */
const MAX_REFUSAL_BYTES = 2_000;
const CONTENT_TYPE = 'application/x-ndjson';
const LINE_FEED = 0x0a;

/** The options of {@link HttpTransport}. @publicApi */
export interface HttpTransportOptions {
  /** The token that is sent. */
  readonly credentials: Credentials;
  /** The most connections to the host of one participant, for each kind of call. @default 16 */
  readonly maxConnections?: number | undefined;
  /**
   * Certificates for https: `ca`, `cert`, `key`, `servername`, or a function such as that of `tlsFrom`.
   *
   * @default those of Node
   */
  readonly tls?: TlsSource | undefined;
}

/**
 * Reaches a participant host over HTTP, on connections of its own that stay open. It follows no redirect, and
 * takes only answers of the documented form and size.
 *
 * @publicApi
 */
export class HttpTransport implements ParticipantTransport {
  readonly address: string;
  /** For each kind: prepares that hang leave the decisions their connections. */
  private readonly connections: Readonly<Record<CallKind, HttpConnections>>;
  private readonly isSecure: boolean;
  /** Tokens that do not change are read once. */
  private readonly bearer: string | undefined;

  /** @throws AddressRefusedError when the address is no URL of HTTP. */
  constructor(
    address: string,
    private readonly options: HttpTransportOptions,
  ) {
    const { origin, pathname, protocol } = addressOf(address);
    this.address = address;
    this.isSecure = protocol === 'https:';
    const { maxConnections = 16, tls, credentials } = options;
    this.bearer = typeof credentials === 'function' ? undefined : bearerOf(credentials);
    const endpoint: Endpoint = {
      origin,
      // Resolved against the address, a path that begins with two slashes would lead to another host.
      path: `${pathname.replace(/\/$/, '')}/calls`,
      headers: () => this.headers(),
      secure: this.isSecure ? () => secureRequest(tls) : undefined,
    };
    const open = (): HttpConnections => new HttpConnections(endpoint, maxConnections);
    this.connections = { work: open(), completion: open(), administration: open() };
  }

  /** @param kind as {@link ParticipantTransport.send} has it. @default 'work' */
  send(
    message: string,
    receive: (answer: unknown) => void,
    timeLeftMs: number,
    kind: CallKind = 'work',
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const { isSecure } = this;
      this.connections[kind].send(
        new MessageExchange({ message, timeLeftMs, isSecure, receive, resolve, reject }),
      );
    });
  }

  close(): void {
    for (const connections of Object.values(this.connections)) connections.close();
  }

  private headers(): string[] {
    const bearer = this.bearer ?? bearerOf(this.options.credentials);
    return ['Authorization', bearer, 'Content-Type', 'application/json', 'Accept', CONTENT_TYPE];
  }
}

interface SentMessage {
  readonly message: string;
  readonly timeLeftMs: number;
  readonly isSecure: boolean;
  readonly receive: (answer: unknown) => void;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/**
 * One message, and the answers to it. Nothing is followed, and nothing but the documented form is an answer.
 */
class MessageExchange implements Exchange {
  readonly message: string;
  readonly dueAt: number;
  private readonly lines: AnswerLines;
  /** Of the response; 0 before. */
  private status = 0;
  /** The body of a response that is no answer. */
  private refusal = '';

  constructor(private readonly sent: SentMessage) {
    this.message = sent.message;
    this.dueAt = performance.now() + sent.timeLeftMs;
    this.lines = new AnswerLines(sent.receive);
  }

  head(status: number, contentType: string | undefined): void {
    this.status = status;
    if (status !== 200 || contentType === CONTENT_TYPE) return;
    if (contentType?.split(';', 1)[0]?.trim() !== CONTENT_TYPE)
      throw new Error(`the answer is no ${CONTENT_TYPE}, so it is not that of a participant host`);
  }

  body(piece: Buffer): void {
    if (this.status === 200) {
      this.lines.read(piece);
      return;
    }
    this.refusal += piece.toString('utf8');
    if (this.refusal.length >= MAX_REFUSAL_BYTES) throw this.refused();
  }

  done(): void {
    if (this.status === 200) this.sent.resolve();
    else this.sent.reject(this.refused());
  }

  failed(error: Error, isNew: boolean): void {
    this.sent.reject(explained(error, this.sent.isSecure && this.status === 0 && isNew));
  }

  late(): Error {
    return new Error(`no answer within ${this.sent.timeLeftMs} ms`);
  }

  private refused(): Error {
    return new Error(`${this.status}${reasonIn(this.refusal)}`);
  }
}

/** Reads the lines of a response. A line without an end is none. */
class AnswerLines {
  private bytes = 0;
  private answers = 0;
  /** The beginning of a line whose end has not come. */
  private begun: Buffer[] = [];
  private begunBytes = 0;

  constructor(private readonly receive: (answer: unknown) => void) {}

  /** @throws when there are too many bytes or answers, and what `receive` throws. */
  read(piece: Buffer): void {
    this.bytes += piece.length;
    if (this.bytes > MAX_RESPONSE_BYTES)
      throw new Error(`the answer has more than ${MAX_RESPONSE_BYTES} bytes`);
    let from = 0;
    for (let end = piece.indexOf(LINE_FEED); end !== -1; end = piece.indexOf(LINE_FEED, from)) {
      if (++this.answers > MAX_ANSWERS)
        throw new Error(`it has more than ${MAX_ANSWERS} answers to one message`);
      const line = this.lineTo(piece, from, end);
      from = end + 1;
      this.receive(valueIn(line));
    }
    if (from === piece.length) return;
    // The memory of a piece is used again.
    this.begun.push(Buffer.from(piece.subarray(from)));
    this.begunBytes += piece.length - from;
    if (this.begunBytes > MAX_ANSWER_BYTES)
      throw new Error(`an answer has more than ${MAX_ANSWER_BYTES} bytes`);
  }

  private lineTo(piece: Buffer, from: number, end: number): string {
    if (this.begun.length === 0) return piece.toString('utf8', from, end);
    const line = Buffer.concat([...this.begun, piece.subarray(from, end)]).toString('utf8');
    this.begun = [];
    this.begunBytes = 0;
    return line;
  }
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
function reasonIn(text: string): string {
  try {
    const { code, detail } = JSON.parse(text) as { readonly code?: unknown; readonly detail?: unknown };
    return typeof code === 'string' && typeof detail === 'string'
      ? oneLine(`, ${code.slice(0, 100)}: ${detail.slice(0, 200)}`)
      : '';
  } catch {
    return '';
  }
}

import { type Dispatcher, Pool } from 'undici';
import type { SecureRequest } from '../hop/index.js';

/** Below the time after which servers usually close an idle connection. */
const IDLE_MS = 4_000;
const NO_LIMIT = 0;

/** One message, and what becomes of it. */
export interface Exchange {
  readonly message: string;
  /** When the time for the answer is over, on the clock of `performance`. */
  readonly dueAt: number;
  /** @throws for an answer of which nothing more is read. */
  head(status: number, contentType: string | undefined): void;
  /** @throws as {@link head} does. */
  body(piece: Buffer): void;
  /** The answer is complete. */
  done(): void;
  /**
   * There is no complete answer.
   *
   * @param isNew whether no connection with the same certificates has ever carried an answer.
   */
  failed(error: Error, isNew: boolean): void;
  /** The error when the time is over. */
  late(): Error;
}

/** Where connections lead. */
export interface Endpoint {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly path: string;
  /** The headers of a message, as name and value in turn. Asked for each message. */
  readonly headers: () => string[];
  /** The certificates of connections over TLS; undefined for those without. Asked for each message. */
  readonly secure: (() => SecureRequest) | undefined;
}

/**
 * Connections of HTTP/1.1 to one server. They stay open, and each carries one exchange at a time. Nothing is followed, and
 * nothing is sent again.
 */
export class HttpConnections {
  private connections: Connections | undefined;
  private readonly sent = new Set<SentExchange>();
  /** One timer serves all, and it is set for the earliest: exchanges that end in time leave it alone. */
  private timer: NodeJS.Timeout | undefined;
  private timerDueAt = Infinity;
  private isClosed = false;

  /** @param maxConnections further exchanges wait. */
  constructor(
    private readonly endpoint: Endpoint,
    private readonly maxConnections: number,
  ) {}

  /** @throws what the sources of the certificates and of the token throw, and an error once this is closed. */
  send(exchange: Exchange): void {
    if (this.isClosed) throw new Error('the connections to it are closed');
    const { path, headers } = this.endpoint;
    const request: Dispatcher.DispatchOptions = {
      path,
      method: 'POST',
      headers: headers(),
      body: exchange.message,
    };
    const connections = this.present();
    const sent = new SentExchange(exchange, connections, () => this.sent.delete(sent));
    this.sent.add(sent);
    this.watch(exchange.dueAt);
    connections.pool.dispatch(request, sent);
  }

  /** Running exchanges fail. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    const error = new Error('the connections to it were closed');
    for (const sent of this.sent) sent.giveUp(error);
    void this.connections?.pool.destroy(error);
  }

  /** Connections with former certificates carry nothing more than what was sent on them. */
  private present(): Connections {
    const { origin, secure } = this.endpoint;
    const material = secure?.();
    const { connections } = this;
    if (connections !== undefined && isSame(connections.material, material)) return connections;
    void connections?.pool.close();
    const pool = new Pool(origin, {
      connections: this.maxConnections,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
      // The exchanges have times of their own.
      headersTimeout: NO_LIMIT,
      bodyTimeout: NO_LIMIT,
      allowH2: false,
      ...(material !== undefined && { connect: { ...material, ALPNProtocols: ['http/1.1'] } }),
    });
    this.connections = { pool, material, isNew: true };
    return this.connections;
  }

  private watch(dueAt: number): void {
    if (dueAt >= this.timerDueAt) return;
    clearTimeout(this.timer);
    this.timerDueAt = dueAt;
    const delayMs = Math.max(1, Math.ceil(dueAt - performance.now()));
    // The connections keep the process alive while an exchange has no answer.
    this.timer = setTimeout(() => this.endLate(), delayMs).unref();
  }

  private endLate(): void {
    const now = performance.now();
    this.timerDueAt = Infinity;
    let nextDueAt = Infinity;
    for (const sent of this.sent) {
      const { exchange } = sent;
      if (exchange.dueAt <= now) sent.giveUp(exchange.late());
      else nextDueAt = Math.min(nextDueAt, exchange.dueAt);
    }
    this.watch(nextDueAt);
  }
}

/** The connections with the same certificates. */
interface Connections {
  readonly pool: Pool;
  readonly material: SecureRequest | undefined;
  /** None of them has carried an answer. */
  isNew: boolean;
}

/** An exchange that was handed over to the connections. It ends once. */
class SentExchange implements Dispatcher.DispatchHandler {
  private controller: Dispatcher.DispatchController | undefined;
  private isAnswered = false;
  private reason: Error | undefined;

  constructor(
    readonly exchange: Exchange,
    private readonly connections: Connections,
    private readonly ended: () => void,
  ) {}

  /** Its connection ends, or, if it still waits for one, it is never sent. */
  giveUp(error: Error): void {
    this.fail(error);
    this.controller?.abort(error);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.controller = controller;
    if (this.reason !== undefined) controller.abort(this.reason);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (this.reason !== undefined) return;
    this.isAnswered = true;
    this.connections.isNew = false;
    const type = headers['content-type'];
    this.take(controller, () => this.exchange.head(status, typeof type === 'string' ? type : undefined));
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Buffer): void {
    if (this.reason === undefined) this.take(controller, () => this.exchange.body(piece));
  }

  onResponseEnd(): void {
    if (this.reason !== undefined) return;
    this.ended();
    this.exchange.done();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.fail(this.explained(error));
  }

  private take(controller: Dispatcher.DispatchController, read: () => void): void {
    try {
      read();
    } catch (error) {
      controller.abort(error as Error);
    }
  }

  private fail(error: Error): void {
    if (this.reason !== undefined) return;
    this.reason = error;
    this.ended();
    this.exchange.failed(error, this.connections.isNew);
  }

  /** The code is that of `node:http`, since it may be the certificate that is not accepted there. */
  private explained(error: Error): Error {
    if ((error as NodeJS.ErrnoException).code !== 'UND_ERR_SOCKET') return error;
    if (this.isAnswered) return new Error('the answer has broken off', { cause: error });
    const text = 'the connection was closed before an answer';
    return Object.assign(new Error(text, { cause: error }), { code: 'ECONNRESET' });
  }
}

function isSame(one: SecureRequest | undefined, other: SecureRequest | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  return (
    one === other ||
    (one.cert === other.cert &&
      one.key === other.key &&
      one.servername === other.servername &&
      isSameList([one.ca].flat(), [other.ca].flat()))
  );
}

function isSameList(one: readonly unknown[], other: readonly unknown[]): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}

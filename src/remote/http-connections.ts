import { type Dispatcher, Pool } from 'undici';
import type { SecureRequest } from '../hop/index.js';

/** Below the time after which servers usually close an idle connection. */
const IDLE_MS = 4_000;
/** A host that has moved may leave an address at which nothing answers. Then its name is looked up again. */
const CONNECT_MS = 5_000;
const NO_LIMIT = 0;

/** One message, with the calls for its end. */
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
 * Connections of HTTP/1.1 to one server. They stay open, and each carries one exchange at a time. Nothing is
 * followed, and nothing is sent again.
 */
export class HttpConnections {
  private connections: Connections | undefined;
  /** With former certificates, until what was sent on them has ended. */
  private readonly former = new Set<Pool>();
  /** The exchanges without an end. */
  private readonly open = new Set<SentExchange>();
  /**
   * Those of them that have no connection yet, the oldest first. One whose time is over takes no connection
   * from another.
   */
  private readonly waiting = new Set<SentExchange>();
  /**
   * How many exchanges the connections have, also of those that were given up and whose connection is still
   * made.
   */
  private handedOver = 0;
  /** One timer serves all, and it is set for the earliest: exchanges that end in time leave it alone. */
  private timer: NodeJS.Timeout | undefined;
  private timerDueAt = Infinity;
  private isClosed = false;
  private readonly keeper: Keeper = {
    ended: (sent) => void this.open.delete(sent),
    free: () => this.free(),
  };

  /** @param maxConnections further exchanges wait. */
  constructor(
    private readonly endpoint: Endpoint,
    private readonly maxConnections: number,
  ) {}

  /**
   * @throws any error of the sources of the certificates and of the token, and an error once this is closed.
   */
  send(exchange: Exchange): void {
    if (this.isClosed) throw new Error('the connections to it are closed');
    const sent = new SentExchange(exchange, this.keeper);
    if (this.handedOver < this.maxConnections) this.handOver(sent);
    else this.waiting.add(sent);
    if (sent.isOver) return;
    this.open.add(sent);
    this.watch(exchange.dueAt);
  }

  /** Running exchanges fail. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.waiting.clear();
    const error = new Error('the connections to it were closed');
    for (const sent of this.open) sent.giveUp(error);
    void this.connections?.pool.destroy(error);
    for (const pool of this.former) void pool.destroy(error);
  }

  private handOver(sent: SentExchange): void {
    const { path, headers } = this.endpoint;
    const request: Dispatcher.DispatchOptions = {
      path,
      method: 'POST',
      headers: headers(),
      body: sent.exchange.message,
    };
    const connections = this.present();
    sent.connections = connections;
    this.handedOver++;
    connections.pool.dispatch(request, sent);
  }

  /** An exchange needs its connection no more. */
  private free(): void {
    this.handedOver--;
    for (const sent of this.waiting) {
      if (this.handedOver >= this.maxConnections) return;
      this.waiting.delete(sent);
      try {
        this.handOver(sent);
      } catch (error) {
        sent.giveUp(error as Error);
      }
    }
  }

  /** Connections with former certificates carry nothing more than what was sent on them. */
  private present(): Connections {
    const { origin, secure } = this.endpoint;
    const material = secure?.();
    const { connections } = this;
    if (connections !== undefined && isSame(connections.material, material)) return connections;
    if (connections !== undefined) this.retire(connections.pool);
    const pool = new Pool(origin, {
      connections: this.maxConnections,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
      // The exchanges have times of their own.
      headersTimeout: NO_LIMIT,
      bodyTimeout: NO_LIMIT,
      allowH2: false,
      connect: {
        timeout: CONNECT_MS,
        ...(material !== undefined && { ...material, ALPNProtocols: ['http/1.1'] }),
      },
    });
    this.connections = { pool, material, isNew: true };
    return this.connections;
  }

  private retire(pool: Pool): void {
    this.former.add(pool);
    void pool.close().then(() => this.former.delete(pool));
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
    const late: SentExchange[] = [];
    for (const sent of this.open) {
      const { dueAt } = sent.exchange;
      if (dueAt <= now) late.push(sent);
      else nextDueAt = Math.min(nextDueAt, dueAt);
    }
    // All at once, as the first of them makes room for one that waits.
    for (const sent of late) this.waiting.delete(sent);
    for (const sent of late) sent.giveUp(sent.exchange.late());
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

/** The reports of an exchange about itself. */
interface Keeper {
  /** Its caller has its end. */
  ended(sent: SentExchange): void;
  /** It needs its connection no more. */
  free(): void;
}

/** An exchange that waits for a connection, or has one. It ends once. */
class SentExchange implements Dispatcher.DispatchHandler {
  /** The connection that carries it; undefined while it waits. */
  connections: Connections | undefined;
  private controller: Dispatcher.DispatchController | undefined;
  private isAnswered = false;
  private isFree = false;
  private reason: Error | undefined;

  constructor(
    readonly exchange: Exchange,
    private readonly keeper: Keeper,
  ) {}

  /** Whether it has failed, or its answer is complete. */
  get isOver(): boolean {
    return this.reason !== undefined || this.isFree;
  }

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
    this.connections!.isNew = false;
    const type = headers['content-type'];
    this.take(controller, () => this.exchange.head(status, typeof type === 'string' ? type : undefined));
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Buffer): void {
    if (this.reason === undefined) this.take(controller, () => this.exchange.body(piece));
  }

  onResponseEnd(): void {
    this.free();
    if (this.reason !== undefined) return;
    this.keeper.ended(this);
    this.exchange.done();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.free();
    this.fail(this.explained(error));
  }

  private free(): void {
    if (this.isFree) return;
    this.isFree = true;
    this.keeper.free();
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
    this.keeper.ended(this);
    this.exchange.failed(error, this.connections?.isNew ?? false);
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

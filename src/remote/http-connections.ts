import { type Socket, type TcpNetConnectOpts, connect as connectByTcp, isIP } from 'node:net';
import { connect as connectByTls } from 'node:tls';
import type { SecureRequest } from '../hop/index.js';
import { ResponseReader, type ResponseTaker } from './http-response.js';

/** Below the time after which servers usually close an idle connection. */
const IDLE_MS = 4_000;
/** What one read takes from the system, at most, in bytes. */
const READ_BYTES = 64 * 1024;

/** A request, and what becomes of it. */
export interface Exchange extends ResponseTaker {
  /** Head and body: as one text, they leave in one write. */
  readonly request: string;
  /** When the time for the answer is over, on the clock of `performance`. */
  readonly dueAt: number;
  /** The answer is complete. */
  done(): void;
  /**
   * There is no complete answer.
   *
   * @param isReused whether the connection had carried another answer before.
   */
  failed(error: Error, isReused: boolean): void;
  /** The error when the time is over. */
  late(): Error;
}

/** Where connections lead. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** The certificates of connections over TLS; undefined for those without. Asked for each request. */
  readonly secure: (() => SecureRequest) | undefined;
}

/**
 * Connections of HTTP/1.1 to one server. They stay open, and each carries one exchange at a time. Nothing is sent again
 * on another connection.
 *
 * `node:http` takes most of the processor time of a small message for objects that no one here looks at.
 */
export class HttpConnections {
  private readonly connections = new Set<Connection>();
  /** Those that wait for an exchange. The last one was used last. */
  private readonly idle: Connection[] = [];
  private readonly waiting: Exchange[] = [];
  private readonly readBuffer = Buffer.allocUnsafeSlow(READ_BYTES);
  private material: SecureRequest | undefined;
  private session: Buffer | undefined;
  /** One timer serves all, and it is set for the earliest: exchanges that end in time leave it alone. */
  private timer: NodeJS.Timeout | undefined;
  private timerDueAt = Infinity;
  private isClosed = false;

  /** @param maxConnections further exchanges wait. */
  constructor(
    private readonly endpoint: Endpoint,
    private readonly maxConnections: number,
  ) {}

  /** @throws what the source of the certificates throws, and an error once this is closed. */
  send(exchange: Exchange): void {
    if (this.isClosed) throw new Error('the connections to it are closed');
    if (this.endpoint.secure !== undefined) this.renew(this.endpoint.secure());
    this.watch(exchange.dueAt);
    const idle = this.takeIdle();
    if (idle !== undefined) idle.begin(exchange);
    else if (this.connections.size < this.maxConnections) this.open(exchange);
    else this.waiting.push(exchange);
  }

  /** Running exchanges fail. */
  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    const error = new Error('the connections to it were closed');
    for (const exchange of this.waiting.splice(0)) exchange.failed(error, false);
    for (const connection of this.connections) connection.drop(error);
  }

  /** New certificates: connections with the former ones carry nothing more. */
  private renew(material: SecureRequest): void {
    if (this.material !== undefined && isSame(this.material, material)) return;
    this.material = material;
    this.session = undefined;
    for (const connection of this.connections) connection.retire();
  }

  private takeIdle(): Connection | undefined {
    const now = performance.now();
    for (let last = this.idle.pop(); last !== undefined; last = this.idle.pop()) {
      if (last.closesAt > now) return last;
      last.drop();
    }
    return undefined;
  }

  private open(exchange: Exchange): void {
    const connection = new Connection({
      free: () => this.free(connection),
      gone: () => this.gone(connection),
    });
    try {
      this.connect(connection);
    } catch (error) {
      // Certificates that cannot be used.
      exchange.failed(error as Error, false);
      return;
    }
    this.connections.add(connection);
    connection.begin(exchange);
  }

  private connect(connection: Connection): void {
    const { host, port } = this.endpoint;
    const { material } = this;
    const target: TcpNetConnectOpts = { host, port, noDelay: true, keepAlive: true };
    if (material === undefined) {
      // The bytes come in memory that is used again. A stream would make many objects of them.
      const callback = (length: number, buffer: Uint8Array): boolean => {
        connection.read((buffer as Buffer).subarray(0, length));
        return true;
      };
      connection.use(connectByTcp({ ...target, onread: { buffer: this.readBuffer, callback } }), 'connect');
      return;
    }
    const socket = connectByTls({
      ...target,
      ...(isIP(host) === 0 && { servername: host }),
      ALPNProtocols: ['http/1.1'],
      ...this.resumed(),
      ...material,
    });
    socket.on('session', (session: Buffer) => {
      if (this.material === material) this.session = session;
    });
    socket.on('data', (piece: Buffer) => connection.read(piece));
    connection.use(socket, 'secureConnect');
  }

  /** A session that does not work is tried once. */
  private resumed(): { readonly session?: Buffer } {
    const { session } = this;
    this.session = undefined;
    return session === undefined ? {} : { session };
  }

  private free(connection: Connection): void {
    const next = this.waiting.shift();
    if (next !== undefined) {
      connection.begin(next);
      return;
    }
    this.idle.push(connection);
    connection.rest();
    this.watch(connection.closesAt);
  }

  private gone(connection: Connection): void {
    this.connections.delete(connection);
    const place = this.idle.indexOf(connection);
    if (place !== -1) this.idle.splice(place, 1);
    while (this.connections.size < this.maxConnections) {
      const next = this.waiting.shift();
      if (next === undefined) return;
      this.open(next);
    }
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
    for (const exchange of this.waiting.filter(({ dueAt }) => dueAt <= now)) {
      this.waiting.splice(this.waiting.indexOf(exchange), 1);
      exchange.failed(exchange.late(), false);
    }
    for (const connection of this.connections) connection.endLate(now);
    let nextDueAt = Infinity;
    for (const { dueAt } of this.waiting) nextDueAt = Math.min(nextDueAt, dueAt);
    for (const { dueAt } of this.connections) nextDueAt = Math.min(nextDueAt, dueAt);
    this.watch(nextDueAt);
  }
}

/** What a connection tells of itself. */
interface ConnectionEvents {
  /** It may carry the next exchange. */
  free(): void;
  gone(): void;
}

class Connection {
  /** When it is closed while it is idle, on the clock of `performance`. */
  closesAt = Infinity;
  private socket!: Socket;
  private readonly reader = new ResponseReader();
  private exchange: Exchange | undefined;
  private isReady = false;
  private isReused = false;
  private isRetired = false;
  private isGone = false;

  constructor(private readonly events: ConnectionEvents) {}

  /** When something is to be done about it if nothing happens before. */
  get dueAt(): number {
    return this.exchange?.dueAt ?? this.closesAt;
  }

  /** @param ready the event by which the socket can be written to: over TLS, its certificate was accepted by then. */
  use(socket: Socket, ready: 'connect' | 'secureConnect'): void {
    this.socket = socket;
    socket.once(ready, () => {
      this.isReady = true;
      this.write();
    });
    socket.on('error', (error) => this.drop(error));
    socket.on('end', () => this.end());
    socket.on('close', () => this.end());
  }

  begin(exchange: Exchange): void {
    this.exchange = exchange;
    this.closesAt = Infinity;
    this.reader.begin(exchange);
    if (!this.isReady) return;
    this.socket.ref();
    this.write();
  }

  /** It keeps no process alive while it is idle. */
  rest(): void {
    this.closesAt = performance.now() + Math.min(IDLE_MS, this.reader.idleMs);
    this.socket.unref();
  }

  /** It ends after its exchange. */
  retire(): void {
    this.isRetired = true;
    if (this.exchange === undefined) this.drop();
  }

  read(bytes: Buffer): void {
    if (this.isGone) return;
    try {
      this.reader.read(bytes);
    } catch (error) {
      // Its answer may be complete, but what follows belongs to no exchange.
      if (this.exchange !== undefined && this.reader.isDone) this.complete(false);
      else this.drop(error as Error);
      return;
    }
    if (this.reader.isDone) this.complete(true);
  }

  endLate(now: number): void {
    if (this.dueAt > now) return;
    this.drop(this.exchange?.late());
  }

  /**
   * Closes the connection. A repeat does nothing.
   *
   * @param error why its exchange fails, if it has one.
   */
  drop(error = new Error('its connection was closed')): void {
    if (this.isGone) return;
    this.isGone = true;
    const { exchange } = this;
    this.exchange = undefined;
    this.socket.destroy();
    exchange?.failed(error, this.isReused);
    this.events.gone();
  }

  private write(): void {
    if (this.exchange !== undefined) this.socket.write(this.exchange.request, 'utf8');
  }

  /** Nothing more comes. */
  private end(): void {
    if (this.exchange !== undefined && this.reader.end()) this.complete(false);
    else this.drop(brokenOff(this.reader.isUnderWay));
  }

  private complete(isWhole: boolean): void {
    const { exchange } = this;
    this.exchange = undefined;
    this.isReused = true;
    exchange!.done();
    // A server that answers before it has read everything may take the rest of the request for the next one.
    const mayGoOn = isWhole && !this.isRetired && this.reader.idleMs > 0 && this.socket.writableLength === 0;
    if (mayGoOn && !this.isGone) this.events.free();
    else this.drop();
  }
}

/** The code is that of `node:http`, since it may be the certificate that is not accepted there. */
function brokenOff(isAnswered: boolean): Error {
  if (isAnswered) return new Error('the answer has broken off');
  return Object.assign(new Error('the connection was closed before an answer'), { code: 'ECONNRESET' });
}

function isSame(one: SecureRequest, other: SecureRequest): boolean {
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

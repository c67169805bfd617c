import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, connect, createServer } from 'node:net';

/** Which way bytes go: `up` to the server, `down` to the client. */
export type Direction = 'up' | 'down';

/** The treatment of a piece of data that the proxy is about to pass on. */
export type Verdict =
  | 'pass'
  /** The connection is cut before the piece is handed on. */
  | 'cut'
  /**
   * The piece is handed on, and the connection is cut the moment the server has answered; the answer is lost.
   */
  | 'cut-answer'
  /** Nothing more is handed on in this direction, and the connection stays open. */
  | 'stall'
  | { readonly delayMs: number }
  /**
   * From this byte on, data of this direction is passed on only after this time, also if the sender has
   * closed by then.
   */
  | { readonly after: Promise<void>; readonly from: number }
  /** This is handed on in its place. */
  | { readonly replace: Buffer };

/** Looks at what goes by, and says what becomes of it. */
export type Rule = (data: Buffer, direction: Direction) => Verdict;

/** One connection through the proxy, both of its ends. */
interface Pair {
  readonly client: Socket;
  readonly server: Socket;
  isAnswerLost: boolean;
  readonly stalled: Set<Direction>;
  /** Data on its way, by direction. */
  readonly held: Map<Direction, Promise<void>>;
}

/** A TCP proxy within the process, which cuts, stalls and delays the connections that go through it. */
export class TcpProxy {
  /** Asked for every piece of data. */
  rule: Rule = () => 'pass';
  private readonly pairs = new Set<Pair>();
  private accepting = true;

  private constructor(
    private readonly server: Server,
    /** Where new connections go to. */
    public target: { readonly host: string; readonly port: number },
  ) {
    server.on('connection', (client) => this.pair(client));
  }

  static async open(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new TcpProxy(server, target);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** How many connections go through it now. */
  get connections(): number {
    return this.pairs.size;
  }

  /** How many of them are open still, though nothing is handed on in them. */
  get stalled(): number {
    return [...this.pairs].filter(({ stalled }) => stalled.size > 0).length;
  }

  /** Cuts every connection, and new ones as soon as they are made until {@link repair} is called. */
  cut(): void {
    this.accepting = false;
    for (const pair of this.pairs) this.drop(pair);
  }

  repair(): void {
    this.accepting = true;
    this.rule = () => 'pass';
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private pair(client: Socket): void {
    if (!this.accepting) {
      client.destroy();
      return;
    }
    const server = connect(this.target);
    const pair: Pair = { client, server, isAnswerLost: false, stalled: new Set(), held: new Map() };
    this.pairs.add(pair);
    this.carry(pair, client, server, 'up');
    this.carry(pair, server, client, 'down');
  }

  private carry(pair: Pair, from: Socket, to: Socket, direction: Direction): void {
    from.setNoDelay(true);
    from.on('data', (data: Buffer) => this.pass(pair, to, data, direction));
    from.on('error', () => this.drop(pair));
    from.on('close', () => this.drop(pair));
  }

  private pass(pair: Pair, to: Socket, data: Buffer, direction: Direction): void {
    if (direction === 'down' && pair.isAnswerLost) {
      this.drop(pair);
      return;
    }
    if (pair.stalled.has(direction)) return;
    if (pair.held.has(direction)) return this.hold(pair, to, data, direction, pair.held.get(direction)!);
    const verdict = this.rule(data, direction);
    if (verdict === 'cut') this.drop(pair);
    else if (verdict === 'stall') pair.stalled.add(direction);
    else if (typeof verdict === 'object' && 'replace' in verdict) to.write(verdict.replace);
    else if (typeof verdict === 'object' && 'after' in verdict) {
      to.write(data.subarray(0, verdict.from));
      this.hold(pair, to, data.subarray(verdict.from), direction, verdict.after);
    } else if (typeof verdict === 'object') setTimeout(() => to.write(data), verdict.delayMs);
    else {
      if (verdict === 'cut-answer') pair.isAnswerLost = true;
      to.write(data);
    }
  }

  private hold(pair: Pair, to: Socket, data: Buffer, direction: Direction, until: Promise<void>): void {
    const passed = until.then(() => void to.write(data));
    pair.held.set(direction, passed);
  }

  private drop(pair: Pair): void {
    pair.client.destroy();
    this.pairs.delete(pair);
    const { server } = pair;
    const onItsWay = pair.held.get('up');
    if (onItsWay === undefined) server.destroy();
    else void onItsWay.then(() => server.destroySoon());
  }
}

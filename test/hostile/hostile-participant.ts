import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import type { Random } from '../simulation/random.js';

/** One call of a message, as far as the host reads it. */
interface Call {
  readonly method: string;
  readonly transactionId?: string;
  readonly branchId?: string;
}

const NDJSON = 'application/x-ndjson';
/** Longer than any line that a coordinator reads. */
const LONG = 400_000;
const MANY_HEADERS = 'X-Junk: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n'.repeat(30_000);

/** The answer that the coordinator wants to see. */
function honest({ method }: Call, id: number): object {
  switch (method) {
    case 'prepare':
    case 'commitOnePhase':
      return { id, kind: 'vote', vote: 'commit' };
    case 'recover':
      return { id, kind: 'branches', branches: [], more: false };
    case 'capabilities':
      return { id, kind: 'capabilities', participant: 'hostile', onePhase: true, durable: true };
    default:
      return { id, kind: 'done' };
  }
}

function response(body: string, { status = '200 OK', type = NDJSON, headers = '' } = {}): string {
  return (
    `HTTP/1.1 ${status}\r\nContent-Type: ${type}\r\n${headers}` +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

function lines(calls: readonly Call[], line: (call: Call, id: number) => unknown): string {
  return calls.map((call, id) => `${JSON.stringify(line(call, id))}\n`).join('');
}

/** The answer to one message. */
interface Trick {
  /** How often it is played, beside the others. */
  readonly weight: number;
  /**
   * Whether the answers have a yes that counts: of the documented form, the first one of its call, and in
   * time.
   */
  readonly isYes?: true;
  /** Whether it costs the coordinator the time-out of the call, so that it is used for votes only. */
  readonly isSlow?: true;
  play(socket: Socket, calls: readonly Call[], random: Random, host: HostileHost): void;
}

function whole(text: (calls: readonly Call[], random: Random, host: HostileHost) => string): Trick['play'] {
  return (socket, calls, random, host) => void socket.write(text(calls, random, host));
}

const yes = (calls: readonly Call[]): string => lines(calls, honest);

/** In place of `vote`. None is a vote. */
const NO_VOTES: readonly unknown[] = [
  'COMMIT',
  'yes',
  true,
  1,
  null,
  ['commit'],
  { vote: 'commit' },
  { vote: 'abort' },
  { toString: 'commit' },
  '',
];
const NO_IDS: readonly unknown[] = [-1, 256, 999_999, 0.5, '0', null, [0], true, 1e308];
const KINDS: readonly string[] = ['done', 'ask', 'branches', 'capabilities', 'Vote', '__proto__', ''];
const STATUSES: readonly string[] = [
  '201 Created',
  '202 Accepted',
  '204 No Content',
  '206 Partial Content',
  '300 Multiple Choices',
  '400 Bad Request',
  '401 Unauthorized',
  '404 Not Found',
  '500 Internal Server Error',
  '503 Service Unavailable',
  '999 Whatever',
];
const TYPES: readonly string[] = [
  'text/html',
  'application/json',
  'application/x-ndjson-not',
  '',
  'x'.repeat(9_000),
];
/** Would write a second line into a log, or move the cursor of a terminal. */
const FORGED = 'no\r\n{"level":"info","msg":"forged"}\u001b[2J\u2028\u0000';

const TRICKS: readonly Trick[] = [
  { weight: 10, isYes: true, play: whole((calls) => response(yes(calls))) },
  { weight: 2, isYes: true, play: whole((calls) => response(yes(calls) + lines(calls, no))) },
  // JSON says that the last one counts.
  {
    weight: 1,
    isYes: true,
    play: whole((calls) => response(yes(calls).replaceAll('"vote":', '"vote":"abort","vote":'))),
  },
  { weight: 8, play: whole((calls) => response(lines(calls, no) + yes(calls).repeat(3))) },
  {
    weight: 6,
    play: whole((calls, random) => response(instead(calls, () => ({ vote: random.pick(NO_VOTES) })))),
  },
  {
    weight: 6,
    play: whole((calls, random) => response(instead(calls, () => ({ id: random.pick(NO_IDS) })))),
  },
  {
    weight: 6,
    play: whole((calls, random) => response(instead(calls, () => ({ kind: random.pick(KINDS) })))),
  },
  { weight: 4, play: whole((calls, random) => response(yes(calls), { status: random.pick(STATUSES) })) },
  { weight: 4, play: whole((calls, random) => response(yes(calls), { type: random.pick(TYPES) })) },
  {
    weight: 4,
    play: whole((calls, random, { address }) =>
      response(yes(calls), {
        status: random.pick([
          '301 Moved Permanently',
          '302 Found',
          '307 Temporary Redirect',
          '308 Permanent Redirect',
        ]),
        headers: `Location: ${address}/yes\r\n`,
      }),
    ),
  },
  {
    weight: 4,
    play: whole((calls) =>
      response(
        calls
          .map(
            (_, id) =>
              `{"__proto__":{"id":${id},"kind":"vote","vote":"commit","polluted":1},"constructor":{"prototype":{"polluted":1}}}\n`,
          )
          .join(''),
      ),
    ),
  },
  {
    weight: 4,
    play: whole((calls) =>
      response(
        lines(calls, (_, id) => ({
          id,
          kind: 'vote',
          vote: { vote: 'abort', code: FORGED, reason: FORGED },
        })),
      ),
    ),
  },
  {
    weight: 4,
    play: whole((calls) =>
      response(lines(calls, (_, id) => ({ id, kind: 'error', code: FORGED, reason: FORGED }))),
    ),
  },
  {
    weight: 4,
    play: whole((calls) => response(lines(calls, (_, id) => ({ id, kind: 'try-again', reason: FORGED })))),
  },
  { weight: 3, play: whole((calls, random) => response(noise(random, calls.length))) },
  // Too long, too many, or without an end.
  { weight: 2, play: whole((calls) => response(yes(calls).replaceAll('}', `,"x":"${'x'.repeat(LONG)}"}`))) },
  { weight: 1, play: (socket) => endless(socket, Buffer.alloc(65_536, 0x61)) },
  { weight: 1, play: (socket) => endless(socket, Buffer.from('{}\n'.repeat(20_000))) },
  { weight: 1, play: whole((calls) => `HTTP/1.1 200 OK\r\n${MANY_HEADERS}\r\n${yes(calls)}`) },
  { weight: 1, play: whole((calls) => response(yes(calls).replaceAll('{', `${'['.repeat(9_000)}{`))) },
  // Cut off. A line without its end is no answer.
  { weight: 3, play: (socket) => void socket.destroy() },
  { weight: 3, play: (socket) => void socket.end('HTTP/1.1 200 OK\r\nContent-') },
  {
    weight: 3,
    play: (socket, calls) =>
      void socket.end(response(yes(calls.slice(0, 1)).trimEnd()).replace(/Length: \d+/, 'Length: 9999')),
  },
  // No HTTP, or of another kind.
  { weight: 3, play: (socket) => void socket.end('\u0016\u0003\u0001yes\n') },
  {
    weight: 2,
    play: (socket) =>
      void socket.end('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n'),
  },
  { weight: 2, play: (socket) => void socket.end('HTTP/1.1 100 Continue\r\n\r\n'.repeat(200)) },
  {
    weight: 2,
    play: (socket) =>
      void socket.end(
        `HTTP/1.1 200 OK\r\nContent-Type: ${NDJSON}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
      ),
  },
  { weight: 1, isSlow: true, play: () => {} },
  { weight: 1, isSlow: true, play: drip },
];

function no(_call: Call, id: number): object {
  return { id, kind: 'vote', vote: { vote: 'abort', code: 'NO', reason: 'no' } };
}

function instead(calls: readonly Call[], change: () => object): string {
  return lines(calls, (call, id) => ({ ...honest({ ...call, method: 'prepare' }, id), ...change() }));
}

function noise(random: Random, times: number): string {
  return Array.from({ length: times * 40 }, () => String.fromCharCode(random.whole(1, 0x2fff))).join('');
}

/** Writes until the other side has had enough. */
function endless(socket: Socket, piece: Buffer): void {
  socket.write(`HTTP/1.1 200 OK\r\nContent-Type: ${NDJSON}\r\nConnection: close\r\n\r\n`);
  const more = (): void => {
    while (!socket.destroyed && socket.write(piece));
  };
  socket.on('drain', more);
  more();
}

/** A byte now and then, and never the last one. */
function drip(socket: Socket, calls: readonly Call[]): void {
  const text = response(yes(calls));
  let sent = 0;
  const timer = setInterval(() => {
    if (socket.destroyed || sent === text.length - 2) clearInterval(timer);
    else socket.write(text[sent++]!);
  }, 5);
  timer.unref();
}

/**
 * A host of participants that answers a coordinator with all that it can think of. The same seed plays the
 * same tricks.
 */
export class HostileHost {
  /** The transactions for which it has said a yes that counts. */
  readonly yes = new Set<string>();
  /** The calls that it has answered with a trick. */
  answers = 0;
  /** The requests that came where only a redirect leads. */
  followed = 0;
  /** From now on it answers as the coordinator wants. */
  isTired = false;
  private readonly sockets = new Set<Socket>();
  private readonly deck = TRICKS.flatMap((trick) => Array.from({ length: trick.weight }, () => trick));
  private readonly quickDeck = this.deck.filter(({ isSlow }) => isSlow !== true);

  private constructor(
    private readonly server: Server,
    private readonly random: Random,
  ) {
    server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.on('error', () => {}).once('close', () => this.sockets.delete(socket));
      this.listenTo(socket);
    });
  }

  static async open(random: Random): Promise<HostileHost> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new HostileHost(server, random);
  }

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/participants`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  /** Requests come one after the other on a connection. */
  private listenTo(socket: Socket): void {
    let received = '';
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      received += chunk;
      const end = received.indexOf('\r\n\r\n');
      if (end === -1) return;
      const length = Number(/content-length: (\d+)/i.exec(received.slice(0, end))?.[1] ?? 0);
      if (received.length < end + 4 + length) return;
      const head = received.slice(0, end);
      const body = received.slice(end + 4, end + 4 + length);
      received = received.slice(end + 4 + length);
      if (head.startsWith('POST /participants/calls '))
        this.answer(socket, (JSON.parse(body) as { calls: Call[] }).calls);
      else this.followed++;
    });
  }

  private answer(socket: Socket, calls: readonly Call[]): void {
    const votes = calls.filter(({ method }) => method === 'prepare' || method === 'commitOnePhase');
    const isVote = votes.length > 0;
    // Decisions are delivered until they are acknowledged: one in two is, so that the next transaction can
    // come.
    if (this.isTired || (!isVote && this.random.chance(0.5))) {
      for (const { transactionId } of votes) this.yes.add(transactionId!);
      socket.write(response(yes(calls)));
      return;
    }
    const trick = this.random.pick(isVote ? this.deck : this.quickDeck);
    this.answers += calls.length;
    if (trick.isYes === true) for (const { transactionId } of votes) this.yes.add(transactionId!);
    trick.play(socket, calls, this.random, this);
  }
}

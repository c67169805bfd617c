import { once } from 'node:events';
import { type IncomingMessage, type Server, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Random } from '../simulation/random.js';

/** Longer than any answer that the coordinator reads. */
const LONG = 'x'.repeat(200_000);

/** The bytes of one answer. */
type Trick = (server: HostileParticipants) => string;

function answer(status: string, body = '', headers = ''): string {
  return `HTTP/1.1 ${status}\r\n${headers}Content-Type: application/txstatus\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** Answers to prepare that are a yes. */
const YES: readonly Trick[] = [
  () => answer('200 OK', 'txstatus=TransactionPrepared'),
  () => answer('200 OK', '\r\ntxstatus=TransactionPrepared \n'),
  () => answer('200 OK'),
];

/** Answers that are no answer to any order: the coordinator rolls back, or tells its decision again. */
const UNCLEAR: readonly Trick[] = [
  ...['201 Created', '202 Accepted', '204 No Content', '206 Partial Content', '300 Multiple Choices'].map(
    (status) => () => answer(status, status.startsWith('204') ? '' : 'txstatus=TransactionPrepared'),
  ),
  ...['400 Bad Request', '401 Unauthorized', '403 Forbidden', '412 Precondition Failed', '418 Teapot'].map(
    (status) => () => answer(status, 'txstatus=TransactionPrepared'),
  ),
  ...['500 Internal Server Error', '503 Service Unavailable', '999 Whatever'].map(
    (status) => () => answer(status, 'txstatus=TransactionPrepared', 'Retry-After: 99999\r\n'),
  ),
  ...['301 Moved Permanently', '302 Found', '307 Temporary Redirect', '308 Permanent Redirect'].map(
    (status): Trick =>
      ({ trap }) =>
        answer(status, '', `Location: ${trap}/yes\r\n`),
  ),
  ...[
    'txstatus=TransactionPreparedX',
    'txstatus=transactionprepared',
    'txstatus=TransactionPrepared&txstatus=TransactionPrepared',
    'TransactionPrepared',
    'txstatus=TransactionActive',
    'txstatus=TransactionStatusUnknown',
    'txstatus=__proto__',
    '{"txstatus":"TransactionPrepared"}',
    '<html>200 OK</html>',
    '\u0000',
    'no\r\n{"level":"info","msg":"forged"}\u001b[2J\u2028',
    `txstatus=TransactionPrepared${LONG}`,
    LONG,
  ].map((body) => () => answer('200 OK', body)),
  () => 'HTTP/1.1 200 OK\r\nContent-',
  () => 'HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\ntxstatus=TransactionPrepared',
  () => 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
  () => 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n',
  () => `HTTP/1.1 200 OK\r\n${'X-Junk: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n'.repeat(3_000)}\r\n`,
  () => '\u0016\u0003\u0001yes\n',
  () => '',
];

/** The address that an absent participant gives as its new place. None may be called. */
const MOVED: readonly Trick[] = [
  ({ trap }) =>
    answer('200 OK', '', `Link: <${trap}/p>; rel="participant", <${trap}/t>; rel="terminator"\r\n`),
  ({ trap }) => answer('302 Found', '', `Location: ${trap}/p\r\n`),
  () => answer('200 OK', '', 'Link: <javascript:1>; rel="participant", <x>; rel="terminator"\r\n'),
  () => answer('200 OK', '', `Link: ${'<a>; rel="participant", '.repeat(300)}\r\n`),
  () => answer('200 OK', '', 'Link: <\r\n'),
  () => answer('404 Not Found'),
];

/** One participant that a transaction has. */
export interface HostileParticipant {
  readonly url: string;
  /** The header by which it enlists. */
  readonly link: string;
}

interface Known {
  readonly transaction: number;
  hasSaidYes: boolean;
}

/**
 * Participants over REST-AT that answer with all that they can think of. It writes down who has said yes, and
 * whether a commit came without that.
 */
export class HostileParticipants {
  /** How many requests were answered with a trick. */
  answers = 0;
  /** The transactions of which a participant was told to commit, although not all had said yes. */
  readonly wrong: string[] = [];
  /** From now on they answer as they should. */
  isTired = false;
  private readonly participants: Known[] = [];

  private constructor(
    private readonly server: Server,
    private readonly random: Random,
    /** An origin that the coordinator must not call. */
    readonly trap: string,
  ) {}

  static async open(random: Random, trap: string): Promise<HostileParticipants> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const opened = new HostileParticipants(server, random, trap);
    server.on('request', (request) => {
      request.resume();
      void opened.serve(request);
    });
    return opened;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** @param transaction the number of the transaction in which it enlists. */
  add(transaction: number): HostileParticipant {
    const url = `${this.origin}/p/${this.participants.length}`;
    this.participants.push({ transaction, hasSaidYes: false });
    const isAware = this.random.chance(0.5);
    const rest = isAware
      ? `<${url}/terminator>; rel="terminator"`
      : ['prepare', 'commit', 'rollback'].map((order) => `<${url}/${order}>; rel="${order}"`).join(', ');
    return { url, link: `<${url}>; rel="participant", ${rest}` };
  }

  /** @returns whether all participants of a transaction have said yes. */
  isAgreed(transaction: number): boolean {
    return this.participants
      .filter((participant) => participant.transaction === transaction)
      .every(({ hasSaidYes }) => hasSaidYes);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await once(this.server.close(), 'close');
  }

  private async serve(request: IncomingMessage): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString('utf8');
    const { socket } = request;
    const [, , index = '', resource = ''] = request.url!.split('/');
    const participant = this.participants[Number(index)]!;
    const order = request.method === 'PUT' ? orderOf(resource, body) : request.method!;
    const isYes = this.isTired || this.random.chance(order === 'prepare' ? 0.6 : 0.3);
    if (order === 'prepare') participant.hasSaidYes ||= isYes;
    if (order === 'commit' && !this.isAgreed(participant.transaction))
      this.wrong.push(`transaction ${participant.transaction} is committed without a yes`);
    this.answers++;
    write(socket, this.trickFor(order, isYes)(this));
  }

  private trickFor(order: string, isYes: boolean): Trick {
    const { random } = this;
    if (order === 'HEAD') return this.isTired ? () => answer('404 Not Found') : random.pick(MOVED);
    if (order === 'prepare') {
      if (isYes) return random.pick(YES);
      return random.chance(0.2) ? () => answer('409 Conflict') : random.pick(NO);
    }
    return isYes ? () => answer('200 OK') : random.pick(NO);
  }
}

const NO: readonly Trick[] = [
  ...UNCLEAR,
  () => answer('404 Not Found'),
  () => answer('404 Not Found', 'txstatus=TransactionCommitted'),
];

function orderOf(resource: string, body: string): string {
  if (resource !== 'terminator') return resource;
  return body === 'txstatus=TransactionPrepared'
    ? 'prepare'
    : body === 'txstatus=TransactionCommitted'
      ? 'commit'
      : 'rollback';
}

/** An answer that is no complete HTTP ends with the connection. */
function write(socket: Socket, bytes: string): void {
  const [head = '', body] = bytes.split('\r\n\r\n', 2);
  const isWhole = body !== undefined && head.endsWith(`\r\nContent-Length: ${Buffer.byteLength(body)}`);
  if (isWhole) socket.write(bytes);
  else socket.end(bytes);
}

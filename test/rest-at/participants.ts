import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** An answer with more than its code. */
interface Told {
  readonly code: number;
  readonly body?: string;
  readonly link?: string;
  readonly location?: string;
}

/**
 * A status code, one with a body, one that comes later, or what is no answer: the connection is cut, or
 * nothing comes.
 */
export type Answer = number | 'cut' | 'hang' | Told | (() => Promise<number | 'cut'>);

/** A request of the coordinator to the participant. */
export type Order = 'prepare' | 'commit' | 'rollback' | 'one-phase' | 'forget' | 'links';

export interface Call {
  readonly order: Order;
  readonly method: string;
  readonly body: string;
  readonly type: string | undefined;
}

const ORDER_OF_BODY: Readonly<Record<string, Order>> = {
  'txstatus=TransactionPrepared': 'prepare',
  'txstatus=TransactionCommitted': 'commit',
  'txstatus=TransactionRolledBack': 'rollback',
  'txstatus=TransactionCommittedOnePhase': 'one-phase',
};

/** A participant over HTTP. By default it agrees to everything, as the draft says. */
export class TestParticipant {
  readonly calls: Call[] = [];
  /** Its answers, call by call. The last answer stays. */
  script: Partial<Record<Order, readonly Answer[]>> = {};

  constructor(
    readonly url: string,
    readonly kind: 'aware' | 'unaware' | 'two-phase',
  ) {}

  /** The header by which it enlists. */
  get link(): string {
    const { url } = this;
    if (this.kind === 'aware') return `<${url}>; rel="participant", <${url}/terminator>; rel="terminator"`;
    const links = ['prepare', 'commit', 'rollback'].map((order) => `<${url}/${order}>; rel="${order}"`);
    if (this.kind === 'unaware') links.push(`<${url}/one-phase>; rel="commit-one-phase"`);
    return [`<${url}>; rel=participant; title="participant"; type="text/plain"`, ...links].join(', ');
  }

  orders(): Order[] {
    return this.calls.map(({ order }) => order);
  }

  count(order: Order): number {
    return this.orders().filter((one) => one === order).length;
  }

  take(method: string, resource: string, body: string, type: string | undefined): Answer {
    const order = orderOf(method, resource, body);
    if (order === undefined) return 400;
    const answers = this.script[order] ?? [];
    const answer = answers[Math.min(this.count(order), answers.length - 1)];
    this.calls.push({ order, method, body, type });
    return answer ?? (order === 'links' ? { code: 200, link: this.link } : 200);
  }
}

function orderOf(method: string, resource: string, body: string): Order | undefined {
  if (resource === '') return method === 'DELETE' ? 'forget' : 'links';
  return resource === 'terminator' ? ORDER_OF_BODY[body] : (resource as Order);
}

/** A volatile participant over HTTP. */
export class TestVolatile {
  readonly bodies: string[] = [];
  /** Its answers, call by call. */
  answers: readonly Answer[] = [];

  constructor(readonly url: string) {}

  get link(): string {
    return `<${this.url}>; rel="volatile-participant"`;
  }
}

/** Serves participants at one origin. */
export class ParticipantServer {
  private readonly participants: TestParticipant[] = [];
  private readonly volatiles: TestVolatile[] = [];

  private constructor(private readonly server: Server) {}

  /** @param port that the coordinator may call. @default any free one */
  static async start(port = 0): Promise<ParticipantServer> {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const started = new ParticipantServer(server);
    server.on('request', (request, response) => void started.serve(request, response));
    return started;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  add(kind: TestParticipant['kind'] = 'aware', script: TestParticipant['script'] = {}): TestParticipant {
    const participant = new TestParticipant(`${this.origin}/p/${this.participants.length}`, kind);
    participant.script = script;
    this.participants.push(participant);
    return participant;
  }

  addVolatile(...answers: Answer[]): TestVolatile {
    const participant = new TestVolatile(`${this.origin}/v/${this.volatiles.length}`);
    participant.answers = answers;
    this.volatiles.push(participant);
    return participant;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await once(this.server.close(), 'close');
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString('utf8');
    const [, list, index, resource = ''] = request.url!.split('/');
    const type = request.headers['content-type'];
    const given =
      list === 'v'
        ? this.heard(this.volatiles[Number(index)]!, body)
        : (this.participants[Number(index)]?.take(request.method!, resource, body, type) ?? 404);
    const answer = typeof given === 'function' ? await given() : given;
    if (answer === 'hang') return;
    if (answer === 'cut') {
      request.socket.destroy();
      return;
    }
    const {
      code,
      body: text = '',
      link,
      location,
    }: Told = typeof answer === 'number' ? { code: answer } : answer;
    response.writeHead(code, {
      ...(link !== undefined && { Link: link }),
      ...(location !== undefined && { Location: location }),
      'Content-Type': 'application/txstatus',
    });
    response.end(text);
  }

  private heard(participant: TestVolatile, body: string): Answer {
    participant.bodies.push(body);
    return participant.answers[participant.bodies.length - 1] ?? 200;
  }
}

/** The body that says a status. */
export function says(status: string, code = 200): Answer {
  return { code, body: `txstatus=${status}` };
}

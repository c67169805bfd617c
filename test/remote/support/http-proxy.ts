import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A message of a coordinator, as it goes by. */
export interface PassingMessage {
  readonly participant: string;
  readonly calls: readonly {
    readonly method: string;
    readonly transactionId?: string;
    readonly attempt?: number;
  }[];
}

/** The fate of a message. */
export type Verdict =
  | 'pass'
  /** It never arrives, and its connection is cut. */
  | 'lose'
  /** It never arrives, and its connection stays open. */
  | 'hang'
  /** It arrives, and its answer is lost with the connection. */
  | 'lose-answer'
  /** It arrives at every replica, one after the other, and the last answer counts. */
  | 'repeat'
  /** It arrives after that, although the sender may have given up by then. */
  | { readonly after: Promise<void> }
  /** It arrives, and its answer waits for that. */
  | { readonly answerAfter: Promise<void> }
  /** This is answered in its place. */
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body: string };

/** A proxy between a coordinator and the replicas of a host, over real sockets. */
export class HttpProxy {
  /** Asked for every message. */
  rule: (message: PassingMessage) => Verdict = () => 'pass';
  /** The methods that have gone by, in order. */
  readonly seen: string[] = [];
  /** Resolves when everything that was on its way has arrived. */
  private readonly underWay = new Set<Promise<unknown>>();
  private turn = 0;

  private constructor(
    private readonly server: Server,
    /** The addresses of the replicas. */
    public targets: readonly string[],
  ) {
    server.on('request', (incoming, response) => {
      const carried = this.carry(incoming, response)
        .catch(() => response.destroy())
        .finally(() => this.underWay.delete(carried));
      this.underWay.add(carried);
    });
  }

  static async open(targets: readonly string[]): Promise<HttpProxy> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new HttpProxy(server, targets);
  }

  get address(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/participants`;
  }

  /** Resolves when nothing is on its way. */
  async quiet(): Promise<void> {
    await Promise.allSettled(this.underWay);
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async carry(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(incoming);
    const message = JSON.parse(body.toString()) as PassingMessage;
    this.seen.push(...message.calls.map(({ method }) => method));
    const verdict = this.rule(message);
    if (verdict === 'hang') return;
    if (verdict === 'lose') {
      response.destroy();
      return;
    }
    if (typeof verdict === 'object' && 'status' in verdict) {
      response.writeHead(verdict.status, verdict.headers);
      response.end(verdict.body);
      return;
    }
    if (typeof verdict === 'object' && 'after' in verdict) await verdict.after;
    const targets = verdict === 'repeat' ? this.targets : [this.targets[this.turn++ % this.targets.length]!];
    let answer;
    for (const target of targets) answer = await forward(target, incoming, body);
    if (typeof verdict === 'object' && 'answerAfter' in verdict) await verdict.answerAfter;
    if (verdict === 'lose-answer' || answer === undefined) {
      response.destroy();
      return;
    }
    response.writeHead(answer.status, answer.headers);
    response.end(answer.body);
  }
}

async function forward(
  target: string,
  { method, headers }: IncomingMessage,
  body: Buffer,
): Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; body: Buffer }> {
  const { authorization, 'content-type': type } = headers;
  const sent = request(`${target}/calls`, {
    agent: false,
    method: method!,
    headers: { Authorization: authorization, 'Content-Type': type, 'Content-Length': body.length },
  });
  sent.end(body);
  const [answer] = (await once(sent, 'response')) as [IncomingMessage];
  const { 'content-type': answerType } = answer.headers;
  const text = await bodyOf(answer);
  return { status: answer.statusCode!, headers: { 'content-type': answerType }, body: text };
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

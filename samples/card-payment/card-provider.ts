import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The failure of a request at the provider. */
export type Failure =
  /** It answers 503, and does nothing. */
  | 'unavailable'
  /** It carries the request out, and its answer is lost. */
  | 'answer-lost'
  /** It carries the request out, and never answers. */
  | 'no-answer';

export interface Authorisation {
  readonly reference: string;
  readonly amount: number;
  state: 'authorised' | 'captured' | 'voided' | 'lapsed';
}

/** For how long an authorisation holds, in milliseconds. */
export const VALID_FOR_MS = 7 * 86_400_000;

/**
 * A payment provider as teams use one over HTTP: it authorises an amount, and captures it or voids it later. Each request bears
 * an idempotency key, under which a repeat does nothing and gets the first answer. Requests fail as a test says.
 */
export class CardProvider {
  readonly authorisations = new Map<string, Authorisation>();
  /** The failures of the next requests to a path, in order. */
  readonly failures: { readonly path: string; readonly failure: Failure }[] = [];
  /** How often an amount was authorised, captured and voided. */
  readonly done = { authorise: 0, capture: 0, void: 0 };
  validForMs = VALID_FOR_MS;
  private readonly answers = new Map<string, readonly [status: number, body: object]>();
  /** References that were voided before they were authorised. */
  private readonly refused = new Set<string>();
  private readonly server: Server = createServer((request, response) => void this.serve(request, response));

  /** @returns the address. */
  async open(): Promise<string> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  /** Ends the time of every authorisation that was not captured. */
  lapse(): void {
    for (const one of this.authorisations.values()) if (one.state === 'authorised') one.state = 'lapsed';
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = request.url!;
    const next = this.failures.findIndex((planned) => planned.path === path);
    const failure = next === -1 ? undefined : this.failures.splice(next, 1)[0]!.failure;
    if (failure === 'unavailable') {
      response.writeHead(503).end();
      return;
    }
    const key = request.headers['idempotency-key'] as string;
    const body = JSON.parse(Buffer.concat(chunks).toString()) as Authorisation;
    const [status, answer] = this.once(key, () => this.do(path, body));
    if (failure === 'answer-lost') response.destroy();
    else if (failure === undefined) response.writeHead(status).end(JSON.stringify(answer));
  }

  private once(key: string, work: () => readonly [number, object]): readonly [status: number, body: object] {
    const answer = this.answers.get(key) ?? work();
    this.answers.set(key, answer);
    return answer;
  }

  private do(path: string, { reference, amount }: Authorisation): readonly [number, object] {
    const known = this.authorisations.get(reference);
    switch (path) {
      case '/authorise':
        if (this.refused.has(reference)) return [409, { code: 'VOIDED' }];
        if (amount > 1_000) return [402, { code: 'CARD_DECLINED' }];
        this.done.authorise++;
        this.authorisations.set(reference, { reference, amount, state: 'authorised' });
        return [200, { validForMs: this.validForMs }];
      case '/capture':
        if (known?.state !== 'authorised') return [410, { code: known?.state ?? 'unknown' }];
        this.done.capture++;
        known.state = 'captured';
        return [200, {}];
      case '/void':
        // The authorisation may come later, and must not hold anything then.
        if (known === undefined) this.refused.add(reference);
        if (known?.state === 'captured') return [409, { code: 'CAPTURED' }];
        if (known?.state === 'authorised') {
          this.done.void++;
          known.state = 'voided';
        }
        return [200, {}];
      default:
        return [404, {}];
    }
  }
}

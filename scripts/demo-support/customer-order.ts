import { setTimeout as delay } from 'node:timers/promises';
import { type Told, post } from './post.js';

/** The pause before a customer asks again, in milliseconds. */
const PAUSE_MS = 150;

/** The address for an order. */
export interface Counter {
  readonly name: string;
  readonly url: string;
}

/** The answer of a member to a request with the key of an order. */
export interface Answer extends Told {
  readonly member: string;
  /** The meaning of a 202: commit or abort is decided, or the decision is not known. */
  readonly decision?: string | undefined;
}

/** One order of a customer, with its key and every answer. */
export class CustomerOrder {
  readonly answers: Answer[] = [];
  /** How many requests were never answered: the connection was lost. */
  lost = 0;

  /** @param key is sent with every request for this order. */
  constructor(
    readonly key: string,
    private readonly customerId: string,
    private readonly sku: string,
  ) {}

  get isConfirmed(): boolean {
    return this.answers.some(({ status }) => status === 201);
  }

  /** Sends the request once, and waits for its answer as long as the connection holds. */
  async send({ name, url }: Counter): Promise<Answer | undefined> {
    const headers = { 'Idempotency-Key': this.key };
    const order = { customerId: this.customerId, items: [{ sku: this.sku, quantity: 1 }] };
    const told = await post<Pick<Answer, 'decision'>>(`${url}/orders`, headers, order);
    const answer = told && { ...told, member: name };
    if (answer === undefined) this.lost++;
    else this.answers.push(answer);
    return answer;
  }

  /**
   * Sends the request to one member after the other, until the order is confirmed.
   *
   * @param counters the members, in this order.
   * @param signal ends the attempts: then the order may not be confirmed.
   */
  async askUntilConfirmed(counters: readonly Counter[], signal: AbortSignal): Promise<void> {
    for (let turn = 0; !this.isConfirmed && !signal.aborted; turn++) {
      if (turn > 0) await delay(PAUSE_MS);
      await this.send(counters[turn % counters.length]!);
    }
  }

  /** Asks one member until it confirms the order. @param signal ends it: then it may not have. */
  async askUntilConfirmedBy(counter: Counter, signal: AbortSignal): Promise<void> {
    for (let answer = await this.send(counter); answer?.status !== 201 && !signal.aborted;) {
      await delay(PAUSE_MS);
      answer = await this.send(counter);
    }
  }
}

import { setTimeout as delay } from 'node:timers/promises';
import type { OrderLine } from '../../samples/services/contract.js';
import { type Told, post } from '../demo-support/post.js';

/**
 * The pause before a customer asks again, in milliseconds. It doubles, so that many customers do not keep a
 * slow shop busy.
 */
const PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_600;
/** Longer than any answer of the gateway takes. */
const LOST_AFTER_MS = 20_000;

/** The answer of the gateway to a request of a customer. */
export interface Answer extends Told {
  readonly to: 'place' | 'cancel';
  readonly reasonCode?: string | undefined;
}

/** Whether an answer says that the order was cancelled before. */
export function saysCancelledBefore({ to, code, reasonCode }: Answer): boolean {
  return to === 'cancel' && [code, reasonCode].includes('ALREADY_CANCELLED');
}

/** One order of a customer, with its key and every answer. */
export class ShopOrder {
  readonly answers: Answer[] = [];
  /** How many requests were never answered. */
  lost = 0;

  /** @param key is sent with every request for this order. */
  constructor(
    readonly key: string,
    readonly customer: string,
    readonly lines: readonly OrderLine[],
  ) {}

  get isConfirmed(): boolean {
    return this.has('place', [201]);
  }

  get isCancelled(): boolean {
    return this.has('cancel', [200]) || this.answers.some(saysCancelledBefore);
  }

  /** Sends the order once. */
  place(gateway: string): Promise<Answer | undefined> {
    const { customer, lines, key } = this;
    return this.send('place', `${gateway}/orders`, { 'Idempotency-Key': key }, { customer, lines });
  }

  /**
   * Sends the order with its key until it is confirmed.
   *
   * @param signal ends the attempts: then the order may not be confirmed.
   */
  async placeUntilConfirmed(gateway: string, signal: AbortSignal): Promise<void> {
    for (let pause = PAUSE_MS; !this.isConfirmed && !signal.aborted; pause = longer(pause)) {
      await this.place(gateway);
      if (!this.isConfirmed) await delay(pause);
    }
  }

  /** Cancels the confirmed order, until it is known to be cancelled. */
  async cancelUntilCancelled(gateway: string, signal: AbortSignal): Promise<void> {
    const orderId = this.answers.find(({ status }) => status === 201)?.orderId;
    const url = `${gateway}/orders/${orderId}/cancellation`;
    for (let pause = PAUSE_MS; !this.isCancelled && !signal.aborted; pause = longer(pause)) {
      await this.send('cancel', url);
      if (!this.isCancelled) await delay(pause);
    }
  }

  private has(to: Answer['to'], statuses: readonly number[]): boolean {
    return this.answers.some((answer) => answer.to === to && statuses.includes(answer.status));
  }

  private async send(
    to: Answer['to'],
    url: string,
    headers: Readonly<Record<string, string>> = {},
    body?: object,
  ): Promise<Answer | undefined> {
    const signal = AbortSignal.timeout(LOST_AFTER_MS);
    const told = await post<Pick<Answer, 'reasonCode'>>(url, headers, body, signal);
    const answer = told && { ...told, to };
    if (answer === undefined) this.lost++;
    else this.answers.push(answer);
    return answer;
  }
}

function longer(pause: number): number {
  return Math.min(2 * pause, LONGEST_PAUSE_MS);
}

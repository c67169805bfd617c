import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import { within } from '../coordinator/within.js';
import { pauseAfter } from './backoff.js';
import type { OutboxMessage } from './message.js';
import type { ResolvedRelaySettings } from './options.js';
import type { RelayReports } from './reports.js';
import { ResultRecorder } from './result-recorder.js';
import type { AttemptResult, ClaimedMessage, OutboxStore } from './store.js';

/**
 * Sends one message. The attempt has failed when this throws, or when the promise that it returns is rejected.
 *
 * @param signal is aborted when the attempt has taken too long, and no caller waits for it any more.
 * @publicApi
 */
export type SendMessage = (message: OutboxMessage, signal: AbortSignal) => unknown;

/** The counts of a relay since its start. @publicApi */
export interface RelayCounts {
  readonly sent: number;
  /** Failed attempts after which the message is tried again. */
  readonly retried: number;
  /** Messages that have used up their attempts. */
  readonly dead: number;
  /** Messages that are being sent. */
  readonly sending: number;
  /** Attempts that have used up their time, and whose function has not ended since. */
  readonly hanging: number;
}

/** A message whose relay stops is free again this long after its last attempt must have ended, in milliseconds. */
export const LEASE_MARGIN_MS = 15_000;

/** The longest pause after the database did not answer, in milliseconds. */
const LONGEST_TROUBLE_MS = 30_000;

/**
 * Takes due messages out of a store, sends them, and keeps what became of each. It works message by message, since a
 * transaction that prepared early may commit late: no message is passed over because a later one was sent.
 */
export class Relay {
  private readonly underWay = new Map<Promise<void>, AbortController>();
  private readonly recorder: ResultRecorder;
  private readonly stopping = new AbortController();
  private wake: () => void = () => {};
  private isAwake = false;
  private looking: Promise<void> | undefined;
  private troubles = 0;
  private hanging = 0;
  private isStuck = false;

  /** @param random returns a number from 0 to 1. */
  constructor(
    private readonly store: OutboxStore,
    private readonly send: SendMessage,
    private readonly settings: ResolvedRelaySettings,
    private readonly reports: RelayReports,
    private readonly random: () => number = Math.random,
  ) {
    this.recorder = new ResultRecorder(store, settings, reports);
  }

  get counts(): RelayCounts {
    const { sent, retried, dead } = this.recorder;
    return { sent, retried, dead, sending: this.underWay.size, hanging: this.hanging };
  }

  /** Looks for messages from now on. */
  start(): void {
    this.looking ??= this.look();
  }

  /**
   * Takes no further message, and waits for attempts under way, at most for `shutdownGraceMs`. Then their signals are
   * aborted: these messages are sent again by the next relay.
   */
  async stop(): Promise<void> {
    this.stopping.abort();
    this.wake();
    await this.looking;
    const ended = Promise.allSettled(this.underWay.keys());
    await within(this.settings.shutdownGraceMs, ended, () => {
      for (const attempt of this.underWay.values()) attempt.abort(INTERRUPTED);
      this.recorder.stop();
    });
    await ended;
  }

  private async look(): Promise<void> {
    while (!this.stopping.signal.aborted) {
      this.isAwake = false;
      const limit = Math.min(this.settings.batchSize, this.room());
      const found = limit === 0 ? 0 : await this.take(limit);
      // A full batch means that there may be more.
      if (found === undefined || found < limit || limit === 0) await this.rest();
    }
  }

  /** Hanging attempts keep their places, so that they do not become more and more. */
  private room(): number {
    const { maxInFlight } = this.settings;
    const isStuck = this.hanging >= maxInFlight;
    if (isStuck && !this.isStuck) this.reports.hanging(this.hanging);
    this.isStuck = isStuck;
    return Math.max(0, maxInFlight - this.underWay.size - this.hanging);
  }

  /** @returns how many messages were found; undefined when the store does not answer. */
  private async take(limit: number): Promise<number | undefined> {
    const leaseMs = this.settings.sendTimeoutMs + LEASE_MARGIN_MS;
    const leaseEnd = performance.now() + leaseMs;
    try {
      const messages = await this.store.claim(limit, leaseMs);
      this.reports.trouble('claim', undefined);
      if (messages.length > 0 && !this.isInTime(leaseEnd)) this.reports.late(messages.length);
      // Results that waited in vain are given up: their messages are due again.
      if (this.recorder.isIdle) this.reports.trouble('record', undefined);
      this.troubles = 0;
      for (const message of messages) this.begin(message, leaseEnd);
      return messages.length;
    } catch (error) {
      this.troubles++;
      this.reports.trouble('claim', messageOf(error));
      return undefined;
    }
  }

  private begin(message: ClaimedMessage, leaseEnd: number): void {
    const controller = new AbortController();
    const attempt = this.attempt(message, controller, leaseEnd)
      .then((result) => this.recorder.add(message, result, leaseEnd))
      .finally(() => {
        this.underWay.delete(attempt);
        this.lookAgain();
      });
    this.underWay.set(attempt, controller);
  }

  /** Whether an attempt that begins now ends within the lease. After a pause of the process another relay may have the message. */
  private isInTime(leaseEnd: number): boolean {
    return performance.now() + this.settings.sendTimeoutMs <= leaseEnd;
  }

  private async attempt(
    message: ClaimedMessage,
    controller: AbortController,
    leaseEnd: number,
  ): Promise<AttemptResult> {
    const { sendTimeoutMs, maxAttempts } = this.settings;
    if (!this.isInTime(leaseEnd) || this.stopping.signal.aborted) return { kind: 'interrupted' };
    // The process that made the last attempt has ended before it kept the result.
    if (message.attempt > maxAttempts) {
      return { kind: 'dead', error: `the relay has ended during attempt ${maxAttempts}, its last` };
    }
    const error = await this.errorOf(message, controller, sendTimeoutMs);
    if (error === undefined) return { kind: 'sent' };
    if (controller.signal.reason === INTERRUPTED) return { kind: 'interrupted' };
    if (message.attempt === maxAttempts) return { kind: 'dead', error };
    return { kind: 'failed', error, retryInMs: pauseAfter(message.attempt, this.settings, this.random()) };
  }

  /** Makes one attempt. @returns why it has failed; undefined when the message was sent. */
  private async errorOf(
    message: ClaimedMessage,
    controller: AbortController,
    timeoutMs: number,
  ): Promise<string | undefined> {
    const { signal } = controller;
    const { promise: over, resolve: giveUp } = Promise.withResolvers<string>();
    const timer = setTimeout(() => {
      controller.abort(new Error(`the attempt was not over after ${timeoutMs} ms`));
    }, timeoutMs);
    signal.addEventListener('abort', () => giveUp(messageOf(signal.reason)), { once: true });
    let isOver = false;
    const sending = this.call(message, signal).finally(() => {
      isOver = true;
    });
    try {
      return await Promise.race([sending, over]);
    } finally {
      clearTimeout(timer);
      if (!isOver) {
        this.hanging++;
        void sending.finally(() => {
          this.hanging--;
          this.lookAgain();
        });
      }
    }
  }

  /** @returns why it has failed. It never throws. */
  private async call({ json, ...message }: ClaimedMessage, signal: AbortSignal): Promise<string | undefined> {
    try {
      await this.send({ ...message, payload: JSON.parse(json) as unknown }, signal);
      return undefined;
    } catch (error) {
      // PostgreSQL keeps no text with a NUL, and the results of other messages are kept in the same statement.
      return oneLine(messageOf(error));
    }
  }

  private lookAgain(): void {
    this.isAwake = true;
    this.wake();
  }

  /** Waits until it is time to look again, or there is reason to. */
  private async rest(): Promise<void> {
    const { pollIntervalMs } = this.settings;
    const inTrouble = this.troubles > 0;
    if ((this.isAwake && !inTrouble) || this.stopping.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const pauseMs = inTrouble
      ? Math.max(pollIntervalMs, Math.min(pollIntervalMs * 2 ** this.troubles, LONGEST_TROUBLE_MS))
      : pollIntervalMs;
    const timer = setTimeout(resolve, pauseMs);
    this.wake = () => {
      if (!inTrouble || this.stopping.signal.aborted) resolve();
    };
    await promise;
    clearTimeout(timer);
    this.wake = () => {};
  }
}

/** The reason with which a shutdown aborts an attempt. */
const INTERRUPTED = new Error('the relay is stopping');

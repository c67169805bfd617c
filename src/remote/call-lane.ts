import { messageOf as messageIn, shortened } from '../coordinator/gate/texts.js';
import { ParticipantUnreachableError } from './errors.js';
import type { HostContact } from './host-contact.js';
import type { CallKind } from './transport.js';
import {
  type CallAnswer,
  MAX_CALLS,
  type OutgoingCall,
  type WireRun,
  answers,
  encodeCall,
  headOf,
  inMessages,
  messageOf,
  readAnswer,
} from './wire/index.js';

/** A call without the time that is left, which is known when it is sent. */
export type CallToSend = OutgoingCall extends infer C
  ? C extends unknown
    ? Omit<C, 'timeLeftMs'>
    : never
  : never;

/** The most characters of a problem that is kept. */
const MAX_PROBLEM = 300;

interface Waiting {
  readonly run: WireRun;
  readonly call: CallToSend;
  readonly deadline: number;
  /** The signal of a call that has to wait for a place. */
  readonly signal: AbortSignal | undefined;
  readonly resolve: (answer: CallAnswer) => void;
  readonly reject: (error: Error) => void;
}

interface Sent {
  readonly text: string;
  readonly waiting: Waiting;
}

/** The limits of a lane. */
export interface LaneLimits {
  /** The most calls that wait for an answer. */
  readonly maxInFlight: number;
  /** The most calls that wait for a place. */
  readonly maxQueued: number;
}

/**
 * The calls of one kind to one participant. The first call leaves at once. While answers are awaited, the calls of one turn
 * leave in one message. Only so many are in flight, and
 * only so many wait: a host that hangs takes nothing from other participants.
 */
export class CallLane {
  private queue: Waiting[] = [];
  private inFlight = 0;
  private isFlushDue = false;
  /** The beginning of all messages of the latest run. */
  private latest: { readonly run: WireRun; readonly head: string } | undefined;

  constructor(
    private readonly participant: string,
    private readonly host: () => HostContact,
    private readonly limits: LaneLimits,
    private readonly kind: CallKind,
  ) {}

  /** The calls that wait for an answer, and those that wait for a place. */
  get load(): { readonly inFlight: number; readonly queued: number } {
    return { inFlight: this.inFlight, queued: this.queue.length };
  }

  /**
   * @param run the same object for all calls of one run.
   * @param deadline when the coordinator stops waiting, on the clock of `performance`.
   * @param waits has a signal, which is aborted when the coordinator no longer waits. A call that still waits for a place by
   * then is not sent. The signal is asked for only if the call has to wait: it costs more than the rest of the call.
   * @returns an answer that the call can get; a promise that rejects when nothing is known of the call.
   */
  call(
    run: WireRun,
    call: CallToSend,
    deadline: number,
    waits?: { readonly signal: AbortSignal },
  ): Promise<CallAnswer> {
    const { maxInFlight, maxQueued } = this.limits;
    if (this.inFlight >= maxInFlight && this.queue.length >= maxQueued) {
      return Promise.reject(
        this.notSent(`${maxInFlight} calls to it wait for an answer, and ${maxQueued} for a place`),
      );
    }
    const signal = this.inFlight + this.queue.length >= maxInFlight ? waits?.signal : undefined;
    return new Promise((resolve, reject) => {
      this.queue.push({ run, call, deadline, signal, resolve, reject });
      this.flushSoon();
    });
  }

  private flushSoon(): void {
    if (this.isFlushDue || this.inFlight >= this.limits.maxInFlight) return;
    this.isFlushDue = true;
    // While answers are awaited, other calls may come in this turn of the event loop. They share the message.
    if (this.inFlight > 0) setImmediate(() => this.flush());
    else process.nextTick(() => this.flush());
  }

  private flush(): void {
    this.isFlushDue = false;
    const places = this.limits.maxInFlight - this.inFlight;
    const taken = this.queue.slice(0, places);
    this.queue = this.queue.slice(places);
    const now = performance.now();
    // With few transactions, nearly every message has one call.
    if (taken.length === 1) {
      const sent = this.sentAs(taken[0]!, now);
      if (sent !== undefined) this.sendAll([sent], now);
    } else this.sendByRun(taken, now);
    if (this.queue.length > 0) this.flushSoon();
  }

  private sendByRun(taken: readonly Waiting[], now: number): void {
    const byRun = new Map<WireRun, Sent[]>();
    for (const waiting of taken) {
      const sent = this.sentAs(waiting, now);
      if (sent === undefined) continue;
      const group = byRun.get(waiting.run);
      if (group === undefined) byRun.set(waiting.run, [sent]);
      else group.push(sent);
    }
    for (const group of byRun.values()) {
      for (const calls of inMessages(group, MAX_CALLS)) this.sendAll(calls, now);
    }
  }

  /** @returns undefined for a call whose time is over: it is not sent. */
  private sentAs(waiting: Waiting, now: number): Sent | undefined {
    const timeLeftMs = Math.floor(waiting.deadline - now);
    if (timeLeftMs < 1) {
      waiting.reject(this.notSent('its time was over before the call was sent'));
      return undefined;
    }
    if (waiting.signal?.aborted === true) {
      // Another participant may have refused: this host has no problem.
      waiting.reject(this.unreachable('nothing waited for it any more before the call was sent'));
      return undefined;
    }
    return { text: encodeCall(Object.assign(waiting.call, { timeLeftMs })), waiting };
  }

  private sendAll(calls: readonly Sent[], now: number): void {
    this.inFlight += calls.length;
    const open: (Waiting | undefined)[] = calls.map(({ waiting }) => waiting);
    const message = messageOf(
      this.headOf(calls[0]!.waiting.run),
      calls.map(({ text }) => text),
    );
    let last = 0;
    for (const { waiting } of calls) last = Math.max(last, waiting.deadline);
    const timeLeftMs = Math.ceil(last - now);
    // What comes later is of this host, also when the participant has moved by then.
    const host = this.host();
    const receive = (value: unknown): void => this.receive(host, open, value);
    let sent: Promise<void>;
    try {
      // A transport of the user may throw as well.
      sent = Promise.resolve(host.transport.send(message, receive, timeLeftMs, this.kind));
    } catch (error) {
      this.end(host, open, error);
      return;
    }
    sent.then(
      () => this.end(host, open, undefined),
      (error: unknown) => this.end(host, open, error),
    );
  }

  private headOf(run: WireRun): string {
    if (this.latest?.run !== run) this.latest = { run, head: headOf(this.participant, run) };
    return this.latest.head;
  }

  /** Takes the first answer to a call that is still open. Everything else is no answer. */
  private receive(host: HostContact, open: (Waiting | undefined)[], value: unknown): void {
    const answer = readAnswer(value);
    const waiting = answer && open[answer.id];
    if (answer === undefined || waiting === undefined) return;
    open[answer.id] = undefined;
    host.answered();
    this.free(1);
    if (answers(waiting.call.method, answer)) waiting.resolve(answer);
    else waiting.reject(this.unreachable(`it answered ${waiting.call.method} with "${answer.kind}"`));
  }

  /**
   * Nothing more comes: nothing is known of the calls without an answer.
   *
   * @param error why; undefined when the transport has ended well.
   */
  private end(host: HostContact, open: (Waiting | undefined)[], error: unknown): void {
    const missing = open.filter((waiting) => waiting !== undefined);
    if (missing.length === 0) return;
    open.fill(undefined);
    this.free(missing.length);
    const problem = error === undefined ? 'its answer is missing' : textOf(error);
    host.failed(shortened(problem, MAX_PROBLEM));
    for (const waiting of missing) waiting.reject(this.unreachable(problem, error));
  }

  private free(places: number): void {
    this.inFlight -= places;
    if (this.queue.length > 0) this.flushSoon();
  }

  /** A call that leaves no trace at the host is as much of a problem there as one without an answer. */
  private notSent(problem: string): ParticipantUnreachableError {
    this.host().failed(problem);
    return this.unreachable(problem);
  }

  private unreachable(problem: string, cause?: unknown): ParticipantUnreachableError {
    return new ParticipantUnreachableError(
      this.participant,
      problem,
      cause === undefined ? undefined : { cause },
    );
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : messageIn(error);
}

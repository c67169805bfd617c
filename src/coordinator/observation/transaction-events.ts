import { Injectable, type OnModuleInit } from '@nestjs/common';
import type { BranchRecord, TransactionRecord } from '../execution/records.js';
import { SafeLogger } from '../gate/safe-logger.js';
import { messageOf } from '../gate/texts.js';
import { abortReason, causeName } from '../execution/outcomes.js';
import { settled } from '../gate/settled.js';
import { State, isCommit } from '../protocol/index.js';
import type { Outcome } from '../outcome.js';
import { durationOf } from './durations.js';
import type { Emitter } from './event-emitter.js';
import { EventListeners } from './event-listeners.js';
import { TRANSACTION_EVENTS, type TransactionEvent, type TransactionEventPayloads } from './events.js';

/** The most events that wait for the end of the start. Further events are lost, and counted. */
const MAX_HELD = 10_000;

/**
 * Reports events to the application's own listeners, if it imports EventEmitterModule. An event without a
 * listener is not made. Events during the start (a decision of an earlier run is delivered) are reported at
 * the end of the start, since Nest adds the decorated listeners in one of its last steps.
 */
@Injectable()
export class TransactionEvents implements OnModuleInit {
  private readonly logger = new SafeLogger(TransactionEvents.name);
  /** The events during the start; undefined once the listeners exist. */
  private held: (() => void)[] | undefined = [];
  private lost = 0;

  /** Undefined until it is sought, and if the application has none. */
  private emitter: Emitter | undefined = undefined;
  private isSought = false;

  /** Receives the error of a listener. It does not throw. */
  failed: (event: string, transaction: TransactionRecord, error: unknown) => void = (event, _, error) =>
    this.logger.error(`A listener of ${event} failed: ${messageOf(error)}`);

  /** Runs a listener outside of the transaction in whose code the event happens. */
  outside: <R>(work: () => R) => R = (work) => work();

  constructor(private readonly listeners: EventListeners) {}

  /** Finds the application's own emitter, with its listeners and options. */
  async onModuleInit(): Promise<void> {
    this.emitter = await this.listeners.connect();
    this.isSought = true;
  }

  /** Every listener of the application exists now: it receives the events of the start. */
  release(): void {
    const { held = [], lost } = this;
    this.held = undefined;
    if (this.emitter === undefined) return;
    for (const tell of held) tell();
    if (lost > 0)
      this.logger.error(`Events during the start were lost, because more than ${MAX_HELD} waited: ${lost}`);
  }

  /** A heuristic end has already been reported, and is neither of these. */
  ended(record: TransactionRecord): void {
    // The application has no emitter, as most have none.
    if (this.emitter === undefined && this.held === undefined) return;
    if (record.hasHeuristics) return;
    if (record.state === State.COMMITTED) {
      if (!this.isHeard(TRANSACTION_EVENTS.committed)) return;
      this.emit('transaction.committed', record, {
        ...common(record),
        durationMs: durationOf(record),
      });
    } else if (this.isHeard(TRANSACTION_EVENTS.aborted)) {
      this.emit('transaction.aborted', record, {
        ...common(record),
        durationMs: durationOf(record),
        cause: causeName(record),
        reason: abortReason(record),
      });
    }
  }

  told(record: TransactionRecord, outcome: Outcome): void {
    if (outcome.status !== 'pending' || !this.isHeard(TRANSACTION_EVENTS.pending)) return;
    const { decision, reason } = outcome;
    this.emit('transaction.pending', record, { ...common(record), decision, reason });
  }

  stalled(branch: BranchRecord, lastError: string): void {
    if (!this.isHeard(TRANSACTION_EVENTS.stalled)) return;
    const { transaction, branchId, participant, attempts } = branch;
    this.emit('transaction.stalled', transaction, {
      ...common(transaction),
      branchId,
      participant: participant.name,
      attempts,
      lastError,
    });
  }

  heuristic(branch: BranchRecord): void {
    if (branch.heuristic === undefined || !this.isHeard(TRANSACTION_EVENTS.heuristic)) return;
    const { transaction, branchId, participant } = branch;
    this.emit('transaction.heuristic', transaction, {
      ...common(transaction),
      branchId,
      participant: participant.name,
      ...branch.heuristic,
    });
  }

  /** @param leftMs how long its vote holds. */
  expiring(branch: BranchRecord, leftMs: number): void {
    const { transaction, branchId, participant, expiry } = branch;
    if (expiry === undefined || !this.isHeard(TRANSACTION_EVENTS.expiring)) return;
    this.emit('transaction.expiring', transaction, {
      ...common(transaction),
      branchId,
      participant: participant.name,
      expiresAt: Math.round(transaction.executor.clock.epochMs + expiry.expiresAt),
      leftMs,
      decision: isCommit(transaction.state) ? 'commit' : 'unknown',
    });
  }

  private isHeard(event: keyof TransactionEventPayloads): boolean {
    const { emitter } = this;
    // The listeners are known only at the end of the start.
    if (this.held !== undefined) return emitter !== undefined || !this.isSought;
    if (emitter === undefined) return false;
    return emitter.hasListeners(event) === true || emitter.listenersAny().length > 0;
  }

  /** Each listener is called separately, so that a failing one does not prevent the others. */
  private emit<E extends keyof TransactionEventPayloads>(
    event: E,
    about: TransactionRecord,
    payload: TransactionEventPayloads[E],
  ): void {
    const { emitter, held } = this;
    if (held !== undefined) {
      if (held.length < MAX_HELD) held.push(() => this.emit(event, about, payload));
      else this.lost++;
      return;
    }
    if (emitter === undefined) return;
    // Copies, since a listener for one event only takes itself off the list.
    const all = emitter.listenersAny().slice();
    const own = emitter.listeners(event).slice();
    for (const listener of all) this.tell(event, about, () => listener.call(emitter, event, payload));
    for (const listener of own) this.tell(event, about, () => listener.call(emitter, payload));
  }

  private tell(event: string, about: TransactionRecord, listener: () => unknown): void {
    void this.call(event, about, () => this.outside(listener));
  }

  /** An error of a listener, synchronous or not, is reported and goes no further. */
  private async call(event: string, about: TransactionRecord, listener: () => unknown): Promise<void> {
    const ended = await settled(listener);
    if ('error' in ended) this.failed(event, about, ended.error);
  }
}

function common(record: TransactionRecord): TransactionEvent {
  return {
    transactionId: record.id,
    name: record.name,
    branches: record.branches.map(({ branchId }) => branchId),
    ...(record.extras?.attributes && { attributes: record.extras.attributes }),
  };
}

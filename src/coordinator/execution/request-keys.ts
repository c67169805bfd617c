import { KeyReusedError, OverloadedError } from '../errors.js';
import { textAt } from '../gate/failure.js';
import { settled } from '../gate/settled.js';
import { messageOf } from '../gate/texts.js';
import type { ClaimedLog } from '../log/claimed-log.js';
import { LogUnavailableError, RecordRefusedError } from '../log/log-errors.js';
import type { LoggedOutcome, Reservation } from '../log/shared-log.js';
import type { Outcome, PendingOutcome } from '../outcome.js';
import { State, type TransactionIds, isAbort, isCommit } from '../protocol/index.js';
import type { Admission } from './admission.js';
import type { ServerLimits } from './capacity/server-limits.js';
import type { Clock } from './clock.js';
import type { UnforcedRecords } from './decision.js';
import { LocalKeys } from './local-keys.js';
import { outcomeNow } from './outcomes.js';
import type { TransactionRecord } from './records.js';
import type { TransactionRegistry } from './registry.js';
import { LATE, type TimeLimits } from './time-limits.js';

/** How often a key is tried again that an aborted transaction of this process still holds. */
const MAX_ATTEMPTS = 3;

interface RequestKeysParts {
  readonly log: ClaimedLog;
  readonly registry: TransactionRegistry;
  readonly ids: TransactionIds;
  readonly limits: ServerLimits;
  readonly timeLimits: TimeLimits;
  readonly records: UnforcedRecords;
  readonly clock: Clock;
  /** How many may wait for the log at the same time. */
  readonly maxWaiting: number;
  readonly admission: Pick<Admission, 'refused' | 'fenced'>;
}

/**
 * The keys of requests. A key belongs to one transaction: the log that several members share keeps it, or,
 * where the log is not shared, this process. A later request with the key begins nothing.
 */
export class RequestKeys {
  private readonly local: LocalKeys;
  /** Transactions that wait for their key, and have not begun. */
  private readonly waiting = new Set<string>();

  constructor(private readonly parts: RequestKeysParts) {
    this.local = new LocalKeys(parts.clock, () => parts.log.epoch);
  }

  /**
   * Whether a transaction waits for its key. It may still begin, so nothing is concluded from its absence.
   */
  isWaiting(id: string): boolean {
    return this.waiting.has(id);
  }

  /**
   * Reserves the key of a transaction that was made and not begun.
   *
   * @param begin called in the same step when the key is reserved; it begins the transaction, or lets it
   * wait for room. If it throws, nothing was begun, and the key is free again.
   * @returns the outcome of an earlier transaction with the key; undefined when the key is reserved.
   * @throws (as a rejection) KeyReusedError, OverloadedError, LogUnavailableError, FencedError, or the
   * error of `begin`: nothing was begun then.
   */
  async reserve(transaction: TransactionRecord, begin: () => void): Promise<Outcome | undefined> {
    const { parts, waiting } = this;
    const { id } = transaction;
    const { maxWaiting, admission } = parts;
    if (waiting.size >= maxWaiting) throw admission.refused(new OverloadedError(maxWaiting));
    waiting.add(id);
    try {
      const earlier = await this.take(transaction);
      if (earlier !== undefined) return earlier;
      try {
        begin();
      } catch (error) {
        this.free(transaction);
        throw error;
      }
      return undefined;
    } finally {
      waiting.delete(id);
    }
  }

  /**
   * The transaction was not begun, and will not be, or it has aborted.
   *
   * @param isUnknown whether the reservation may still be under way to the log.
   */
  free(transaction: TransactionRecord, isUnknown = false): void {
    const { extras, id } = transaction;
    if (extras?.requestKey === undefined) return;
    this.local.release(extras.requestKey.key, id);
    this.parts.records.released(transaction, isUnknown);
  }

  /** Nothing is left to do for a transaction with a key. */
  over(transaction: TransactionRecord): void {
    const key = transaction.extras?.requestKey?.key;
    if (key === undefined) return;
    if (transaction.state === State.COMMITTED) this.local.keep(key, transaction.id);
    else this.free(transaction);
  }

  private async take(transaction: TransactionRecord): Promise<Outcome | undefined> {
    for (let attempt = 1; ; attempt++) {
      const reservation = await this.ask(transaction);
      if (reservation.kind === 'reserved') return undefined;
      const { transactionId } = reservation;
      if (reservation.kind === 'other-request') {
        // The log has freed the key of a transaction that it knows to be aborted.
        if (!this.isOver(transactionId)) throw new KeyReusedError(transactionId);
      } else {
        const outcome = this.earlier(transactionId, reservation.outcome);
        if (outcome !== undefined) return { ...outcome, repeated: true };
      }
      // It has aborted, and the log has not been told so yet.
      if (attempt === MAX_ATTEMPTS) {
        if (reservation.kind === 'other-request') throw new KeyReusedError(transactionId);
        return { ...pending(transactionId), repeated: true };
      }
      await this.freeEarlier(transaction, transactionId);
    }
  }

  /**
   * The outcome of a transaction that this process or the log knows; undefined when it has aborted and all
   * is undone.
   */
  private earlier(id: string, logged: LoggedOutcome): Outcome | undefined {
    const known = this.parts.registry.find(id);
    if (logged.outcome === 'committed') {
      if (known !== undefined && isCommit(known.state)) return outcomeNow(known);
      if (logged.record === null) return { status: 'committed', transactionId: id };
      const reason = 'commit is decided, and may not have been acknowledged everywhere yet';
      return { status: 'pending', transactionId: id, decision: 'commit', reason };
    }
    if (logged.outcome === 'aborted' || this.isOver(id, logged)) return undefined;
    // A request that was refused for a conflict may run again, so that its caller has no outcome yet.
    const hasOutcome = known !== undefined && isDecided(known) && known.extras?.isRunAgain !== true;
    return hasOutcome ? outcomeNow(known) : pending(id);
  }

  /** Whether a transaction of this run has aborted, and nothing is left to do for it. */
  private isOver(id: string, logged?: LoggedOutcome): boolean {
    const { registry, ids, limits } = this.parts;
    if (!ids.isCurrent(id) || this.waiting.has(id) || limits.isWaiting(id)) return false;
    const known = registry.find(id);
    if (known !== undefined) return isAbort(known.state) && known.isSettled;
    // One that is not kept any more has ended, or was never begun. Had it committed, the log would know.
    return registry.hasBegun(id) && logged?.outcome === 'live' && !logged.isRecorded && !logged.isPurged;
  }

  private async ask(transaction: TransactionRecord): Promise<Reservation> {
    const { parts } = this;
    const { id } = transaction;
    const { key, fingerprint } = transaction.extras!.requestKey!;
    const { shared } = parts.log;
    const request = { key, fingerprint, transactionId: id };
    if (shared === undefined) return this.local.reserve(request);
    if (!parts.ids.isCurrent(id)) throw parts.admission.refused(parts.admission.fenced());
    return this.inTime(transaction, () => shared.reserve(request));
  }

  private async freeEarlier(transaction: TransactionRecord, id: string): Promise<void> {
    const { key } = transaction.extras!.requestKey!;
    this.local.release(key, id);
    const { shared } = this.parts.log;
    if (shared === undefined) return;
    await this.inTime(transaction, async () => {
      await shared.release(id);
      // A key that was released has reached the log when a later write has.
      await shared.check();
    });
  }

  /**
   * Asks the log, as long as the transaction has time. If it does not answer, it may have reserved the key.
   */
  private async inTime<T>(transaction: TransactionRecord, ask: () => Promise<T>): Promise<T> {
    const { log, clock, timeLimits, admission } = this.parts;
    const { run } = log;
    const answer = await timeLimits.within(settled(ask), transaction.deadlineAt - clock.now());
    if (answer !== LATE && 'value' in answer) return answer.value as T;
    const error = answer === LATE ? new Error('it has not answered in time') : answer.error;
    if (!(error instanceof RecordRefusedError)) log.failed(error, run);
    if (textAt(error, 'code') === 'DTC_FENCED') throw admission.refused(admission.fenced());
    this.free(transaction, true);
    throw admission.refused(new LogUnavailableError(messageOf(error)));
  }
}

function isDecided({ state }: TransactionRecord): boolean {
  return isAbort(state) || isCommit(state);
}

function pending(transactionId: string): PendingOutcome {
  const reason = 'the first request with this key has not ended, as far as is known here';
  return { status: 'pending', transactionId, decision: 'unknown', reason };
}

import { Injectable, Logger } from '@nestjs/common';
import { EventEmitter2 } from '@nestjs/event-emitter';
import type { BranchRecord } from '../execution/branch-record.js';
import { messageOf } from '../execution/incident.js';
import { abortReason, causeName } from '../execution/outcomes.js';
import type { TransactionRecord } from '../execution/transaction-record.js';
import type { Outcome } from '../outcome.js';
import { TRANSACTION_EVENTS, type TransactionEvent, type TransactionEventPayloads } from './events.js';

/** Tells users' own listeners what has happened. An event that nobody listens to is not even made. */
@Injectable()
export class TransactionEvents {
  private readonly logger = new Logger(TransactionEvents.name);

  constructor(private readonly emitter: EventEmitter2) {}

  ended(record: TransactionRecord): void {
    if (record.stateName === 'COMMITTED') {
      if (!this.isHeard(TRANSACTION_EVENTS.committed)) return;
      this.emit('transaction.committed', {
        ...common(record),
        durationMs: record.endedAt - record.startedAt,
      });
    } else if (this.isHeard(TRANSACTION_EVENTS.aborted)) {
      this.emit('transaction.aborted', {
        ...common(record),
        durationMs: record.endedAt - record.startedAt,
        cause: causeName(record),
        reason: abortReason(record),
      });
    }
  }

  told(record: TransactionRecord, outcome: Outcome): void {
    if (outcome.status !== 'pending' || !this.isHeard(TRANSACTION_EVENTS.pending)) return;
    const { decision, reason } = outcome;
    this.emit('transaction.pending', { ...common(record), decision, reason });
  }

  stalled(branch: BranchRecord, lastError: string): void {
    if (!this.isHeard(TRANSACTION_EVENTS.stalled)) return;
    const { transaction, branchId, participant, attempts } = branch;
    this.emit('transaction.stalled', {
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
    this.emit('transaction.heuristic', {
      ...common(transaction),
      branchId,
      participant: participant.name,
      ...branch.heuristic,
    });
  }

  private isHeard(event: keyof TransactionEventPayloads): boolean {
    return this.emitter.hasListeners(event) === true;
  }

  /** What a listener throws, at once or later, is logged and goes no further. */
  private emit<E extends keyof TransactionEventPayloads>(
    event: E,
    payload: TransactionEventPayloads[E],
  ): void {
    const failed = (error: unknown): void => {
      this.logger.error(`A listener of ${event} failed: ${messageOf(error)}`);
    };
    try {
      this.emitter.emitAsync(event, payload).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}

function common(record: TransactionRecord): TransactionEvent {
  return {
    transactionId: record.id,
    name: record.name,
    branches: record.branches.map(({ branchId }) => branchId),
  };
}

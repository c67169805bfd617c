import { Logger } from '@nestjs/common';
import type { TransactionRecord } from '../execution/records.js';
import { heuristicOutcome } from '../protocol/index.js';
import { durationOf } from './durations.js';

/** What the one line at the end of a transaction says. It holds no payload. @publicApi */
export interface TransactionLine {
  readonly transactionId: string;
  readonly durationMs: number;
  readonly name: string;
  /** `committed`, `aborted`, or the heuristic outcome. */
  readonly outcome: string;
  readonly branches: readonly string[];
}

/**
 * A transaction that is over, to make a line of with {@link lineOf}; the rest of it is the coordinator's own.
 *
 * @publicApi
 */
export type FinishedTransaction = TransactionRecord;

/** Where the one line at the end of each transaction goes. @publicApi */
export interface TransactionLines {
  /** Whether anybody reads them. When not, a line is not even made. */
  isEnabled(): boolean;
  /** Whether the steps of the state machine are to be logged. Asked at every step, so it must be cheap. */
  isDebugEnabled(): boolean;
  /** @param transaction valid during the call only: a line is made of it at once. */
  write(transaction: FinishedTransaction): void;
  /** Whatever has not been written is. */
  flush(): void;
  /** How many lines of the log could not be written and are lost, where that is known. A metric shows it. */
  readonly dropped?: number;
}

/** @returns the line of a transaction that is over. @publicApi */
export function lineOf(record: TransactionRecord): TransactionLine {
  return {
    transactionId: record.id,
    durationMs: durationOf(record),
    name: record.name,
    outcome: outcomeWord(record),
    branches: record.branches.map(({ branchId }) => branchId),
  };
}

export function outcomeWord(record: TransactionRecord): string {
  if (record.hasHeuristics) return `heuristic ${heuristicOutcome(record)}`;
  return record.stateName === 'COMMITTED' ? 'committed' : 'aborted';
}

/** Lines through the application's own logger, whichever that is. */
export class NestTransactionLines implements TransactionLines {
  private readonly logger = new Logger('Transaction');
  private info = false;
  private debug = false;
  private isAsked = false;

  isEnabled(): boolean {
    if (!this.isAsked) this.ask();
    return this.info;
  }

  isDebugEnabled(): boolean {
    if (!this.isAsked) this.ask();
    return this.debug;
  }

  write(record: TransactionRecord): void {
    const line = lineOf(record);
    this.logger.log(line, `transaction ${line.outcome}`);
  }

  flush(): void {}

  /** The levels may change while the application runs, so they are asked for, once in each turn of the event loop. */
  private ask(): void {
    this.isAsked = true;
    this.info = Logger.isLevelEnabled('log');
    this.debug = Logger.isLevelEnabled('debug');
    setImmediate(() => {
      this.isAsked = false;
    });
  }
}

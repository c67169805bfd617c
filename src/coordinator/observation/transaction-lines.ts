import { Logger } from '@nestjs/common';
import { abortReason, causeName } from '../execution/outcomes.js';
import type { TransactionRecord } from '../execution/records.js';
import { LogLine } from '../gate/log-line.js';
import { type AbortCause, heuristicOutcome, isAbort } from '../protocol/index.js';
import { durationOf } from './durations.js';

/** What the one line at the end of a transaction says. It holds no payload. @publicApi */
export interface TransactionLine {
  readonly transactionId: string;
  readonly durationMs: number;
  readonly name: string;
  /** `committed`, `aborted`, or the heuristic outcome. */
  readonly outcome: string;
  /** Why it was aborted. Only an aborted transaction has this field and the next three. */
  readonly cause?: AbortCause;
  /** Whose branch was the cause, where one was. */
  readonly participant?: string;
  /** The code of its refusal, where it gave one. */
  readonly code?: string;
  /** The cause in words. */
  readonly reason?: string;
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
    ...(isAbort(record.state) && causeOf(record)),
    branches: record.branches.map(({ branchId }) => branchId),
  };
}

export function outcomeWord(record: TransactionRecord): string {
  if (record.hasHeuristics) return `heuristic ${heuristicOutcome(record)}`;
  return record.stateName === 'COMMITTED' ? 'committed' : 'aborted';
}

function causeOf(
  record: TransactionRecord,
): Pick<TransactionLine, 'cause' | 'participant' | 'code' | 'reason'> {
  const culprit = record.branches[record.causeBranch];
  const code = culprit?.refusal?.code;
  return {
    cause: causeName(record),
    ...(culprit !== undefined && { participant: culprit.participant.name }),
    ...(code !== undefined && { code }),
    reason: abortReason(record),
  };
}

/** What {@link NestTransactionLines} can be told. @publicApi */
export interface NestTransactionLinesOptions {
  /**
   * Whether the steps of the state machine are logged as well, at `debug`: some four lines more for each transaction. Nest's own
   * logger has `debug` switched on unless it is told otherwise.
   *
   * @default false
   */
  readonly steps?: boolean;
}

/**
 * Lines through Nest's logger, whichever logger that is: at `log`, in one line.
 *
 * @publicApi
 */
export class NestTransactionLines implements TransactionLines {
  private readonly logger = new Logger('Transaction');
  private readonly steps: boolean;
  private info = false;
  private debug = false;
  private isAsked = false;

  constructor({ steps = false }: NestTransactionLinesOptions = {}) {
    this.steps = steps;
  }

  isEnabled(): boolean {
    if (!this.isAsked) this.ask();
    return this.info;
  }

  isDebugEnabled(): boolean {
    if (!this.steps) return false;
    if (!this.isAsked) this.ask();
    return this.debug;
  }

  write(record: FinishedTransaction): void {
    const line = lineOf(record);
    this.logger.log(new LogLine(`transaction ${line.outcome}`, line));
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

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
 * A transaction that is over. It can be read only; {@link lineOf} makes its line.
 *
 * @publicApi
 */
export class FinishedTransaction {
  readonly #record: TransactionRecord;

  /** @internal */
  constructor(record: TransactionRecord) {
    this.#record = record;
  }

  get transactionId(): string {
    return this.#record.id;
  }

  get name(): string {
    return this.#record.name;
  }

  get durationMs(): number {
    return durationOf(this.#record);
  }

  /** `committed`, `aborted`, or the heuristic outcome. */
  get outcome(): string {
    const record = this.#record;
    if (record.hasHeuristics) return `heuristic ${heuristicOutcome(record)}`;
    return record.stateName === 'COMMITTED' ? 'committed' : 'aborted';
  }

  /** The ids of its branches. */
  get branches(): readonly string[] {
    return this.#record.branches.map(({ branchId }) => branchId);
  }

  /** Why it was aborted; undefined for another outcome. */
  get abort(): Pick<TransactionLine, 'cause' | 'participant' | 'code' | 'reason'> | undefined {
    return isAbort(this.#record.state) ? causeOf(this.#record) : undefined;
  }

  /** Compares its branches with these without making a list of them. @internal */
  hasBranches(ids: readonly string[]): boolean {
    if (this.#record.size !== ids.length) return false;
    let index = 0;
    for (let branch = this.#record.firstBranch; branch !== undefined; branch = branch.next) {
      if (branch.branchId !== ids[index++]) return false;
    }
    return true;
  }
}

/** Where the one line at the end of each transaction goes. @publicApi */
export interface TransactionLines {
  /** Whether anybody reads them. When not, a line is not even made. */
  isEnabled(): boolean;
  /** Whether the steps of the state machine are to be logged. Asked at every step, so it must be cheap. */
  isDebugEnabled(): boolean;
  /** Writes the line of a transaction. */
  write(transaction: FinishedTransaction): void;
  /** Whatever has not been written is. */
  flush(): void;
  /** How many lines of the log could not be written and are lost, where that is known. A metric shows it. */
  readonly dropped?: number;
}

/** @returns the line of a transaction that is over. @publicApi */
export function lineOf(transaction: FinishedTransaction): TransactionLine {
  const { transactionId, durationMs, name, outcome, abort, branches } = transaction;
  return { transactionId, durationMs, name, outcome, ...abort, branches };
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

  write(transaction: FinishedTransaction): void {
    const line = lineOf(transaction);
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

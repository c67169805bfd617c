import { Logger } from '@nestjs/common';
import { abortReason, causeName } from '../execution/outcomes.js';
import type { TransactionRecord } from '../execution/records.js';
import { LogLine } from '../gate/log-line.js';
import type { Attributes } from '../participant/attributes.js';
import { type AbortCause, heuristicOutcome, isAbort } from '../protocol/index.js';
import { durationOf } from './durations.js';
import { type OriginFields, originOf } from '../participant/caller-note.js';

/** The content of the one line at the end of a transaction. It holds no payload. @publicApi */
export interface TransactionLine extends OriginFields {
  readonly transactionId: string;
  readonly durationMs: number;
  readonly name: string;
  /** The keys of the business that its caller has given it. Only such a transaction has this field. */
  readonly attributes?: Attributes;
  /** `committed`, `aborted`, or the heuristic outcome. */
  readonly outcome: string;
  /** Why it was aborted. Only an aborted transaction has this field and the next three. */
  readonly cause?: AbortCause;
  /** The participant of the branch that was the cause, if there was one. */
  readonly participant?: string;
  /** The code of its refusal, if it gave one. */
  readonly code?: string;
  /** The cause, for people. */
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

  /** The keys of the business that its caller has given it, if any. */
  get attributes(): Attributes | undefined {
    return this.#record.extras?.attributes;
  }

  /** Its trace, and the id of the request that began it; undefined if it has neither. */
  get origin(): OriginFields | undefined {
    const caller = this.#record.extras?.caller;
    return caller && originOf(caller);
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

/** Receives the one line at the end of each transaction. @publicApi */
export interface TransactionLines {
  /** Whether the lines are read. If not, no line is made. */
  isEnabled(): boolean;
  /** Whether to log the steps of the state machine. Called at every step, so it must be cheap. */
  isDebugEnabled(): boolean;
  /**
   * False if steps are never logged: then nothing is asked at a step.
   *
   * @default true
   */
  readonly logsSteps?: boolean;
  /** Writes the line of a transaction. */
  write(transaction: FinishedTransaction): void;
  /** Writes the lines that have not been written yet. */
  flush(): void;
  /** The number of lost lines of the log, if known. A metric shows it. */
  readonly dropped?: number;
}

/** @returns the line of a transaction that is over. @publicApi */
export function lineOf(transaction: FinishedTransaction): TransactionLine {
  const { transactionId, durationMs, name, outcome, abort, branches, attributes, origin } = transaction;
  const line = { transactionId, durationMs, ...origin, name, outcome, ...abort, branches };
  return attributes === undefined ? line : { ...line, attributes };
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

/** The options of {@link NestTransactionLines}. @publicApi */
export interface NestTransactionLinesOptions {
  /**
   * Whether to log the steps of the state machine as well, at `debug`: about four more lines for each
   * transaction. Nest's own logger has `debug` enabled by default.
   *
   * @default false
   */
  readonly steps?: boolean;
}

/**
 * Writes lines through Nest's logger, or its replacement: at `log`, in one line.
 *
 * @publicApi
 */
export class NestTransactionLines implements TransactionLines {
  readonly logsSteps: boolean;
  private readonly logger = new Logger('Transaction');
  private info = false;
  private debug = false;
  private isAsked = false;

  constructor({ steps = false }: NestTransactionLinesOptions = {}) {
    this.logsSteps = steps;
  }

  isEnabled(): boolean {
    if (!this.isAsked) this.ask();
    return this.info;
  }

  isDebugEnabled(): boolean {
    if (!this.logsSteps) return false;
    if (!this.isAsked) this.ask();
    return this.debug;
  }

  write(transaction: FinishedTransaction): void {
    const line = lineOf(transaction);
    this.logger.log(new LogLine(`transaction ${line.outcome}`, line));
  }

  flush(): void {}

  /**
   * The levels may change while the application runs, so they are read once in each turn of the event loop.
   */
  private ask(): void {
    this.isAsked = true;
    this.info = Logger.isLevelEnabled('log');
    this.debug = Logger.isLevelEnabled('debug');
    setImmediate(() => {
      this.isAsked = false;
    });
  }
}

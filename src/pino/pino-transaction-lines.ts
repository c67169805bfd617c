import type { Logger } from 'pino';
import { messageOf } from '../coordinator/gate/texts.js';
import {
  type FinishedTransaction,
  InvalidOptionsError,
  type OriginFields,
  type TransactionLine,
  type TransactionLines,
  lineOf,
} from '../coordinator/index.js';
import { PinoOutput } from './pino-output.js';

/** The options of {@link PinoTransactionLines}. @publicApi */
export interface PinoTransactionLinesOptions {
  /**
   * The most lines in one write, if `destination` is a {@link PinoOutput}. More than one is much cheaper.
   * Lines wait for others only until the end of the turn of the event loop. Without a `PinoOutput` each line
   * is a write.
   *
   * Lines of one turn that differ only in their transaction, duration and trace are formatted by the logger
   * once. A mixin, hook or formatter that adds different content to each line needs one line a write.
   *
   * @default 1
   */
  readonly linesPerWrite?: number;
  /** The destination of the logger, if it counts the lines that it drops: they are added to the metric. */
  readonly destination?: PinoOutput | { readonly dropped: number };
}

const MAX_LINES_PER_WRITE = 1_000;

const INFO = 30;
const DEBUG = 20;

/** Where pino documents the serializers of a logger. */
const SERIALIZERS = Symbol.for('pino.serializers');

/** A serializer for one of these may change it differently in each line. This symbol stands for all keys. */
const CHANGED_BY_LINE = ['transactionId', 'durationMs', 'trace_id', 'span_id', Symbol.for('pino.*')];

/** The level of a logger, which is needed at every step of every transaction. */
interface CachedLevel {
  value: number;
}

/** By logger: the applications of one process may share one, and a listener of each would keep it for good. */
const levels = new WeakMap<Logger, CachedLevel>();

function levelOf(logger: Logger): CachedLevel {
  let level = levels.get(logger);
  if (level === undefined) {
    const cached = { value: logger.levelVal };
    levels.set(logger, (level = cached));
    logger.on('level-change', () => {
      cached.value = logger.levelVal;
    });
  }
  return level;
}

/**
 * Writes lines through a pino logger. Lines that cannot be written are lost, and counted.
 *
 * @publicApi
 */
export class PinoTransactionLines implements TransactionLines {
  private waiting = '';
  private count = 0;
  /**
   * Made from the previous line. A flush drops it, because its time is that of one turn of the event loop.
   */
  private template: LineTemplate | undefined;
  private turnEndAwaited = false;
  private lost = 0;
  private readonly linesPerWrite: number;
  private readonly destination: PinoTransactionLinesOptions['destination'];
  /** Only if several lines may be one write. */
  private readonly output: PinoOutput | undefined;
  private readonly isRepeatable: boolean;
  private readonly level: CachedLevel;

  /**
   * @param logger for instance `pinoLogger.logger` of nestjs-pino.
   * @throws InvalidOptionsError when `linesPerWrite` is not a whole number from 1 to 1,000.
   */
  constructor(
    private readonly logger: Logger,
    { linesPerWrite = 1, destination }: PinoTransactionLinesOptions = {},
  ) {
    if (!Number.isInteger(linesPerWrite) || linesPerWrite < 1 || linesPerWrite > MAX_LINES_PER_WRITE) {
      throw new InvalidOptionsError('PinoTransactionLines', [
        `linesPerWrite: must be a whole number from 1 to ${MAX_LINES_PER_WRITE}`,
      ]);
    }
    this.linesPerWrite = linesPerWrite;
    this.destination = destination;
    this.output = linesPerWrite > 1 && destination instanceof PinoOutput ? destination : undefined;
    const serializers = (logger as unknown as Record<symbol, object>)[SERIALIZERS] ?? {};
    this.isRepeatable = !CHANGED_BY_LINE.some((key) => key in serializers);
    this.level = levelOf(logger);
  }

  get dropped(): number {
    return this.lost + (this.destination?.dropped ?? 0);
  }

  isEnabled(): boolean {
    return this.level.value <= INFO;
  }

  isDebugEnabled(): boolean {
    return this.level.value <= DEBUG;
  }

  write(transaction: FinishedTransaction): void {
    const { output } = this;
    if (output === undefined) {
      this.attempt(1, () => this.log(lineOf(transaction)));
      return;
    }
    const { template } = this;
    const text =
      template?.fits(transaction) === true ? template.lineOf(transaction) : this.format(transaction, output);
    if (text === '') return;
    this.waiting += text;
    this.count++;
    if (this.count >= this.linesPerWrite) this.writeWaiting(output);
    else this.awaitTurnEnd(output);
  }

  flush(): void {
    if (this.output !== undefined) this.writeWaiting(this.output);
    this.attempt(0, () => this.logger.flush());
  }

  private log(line: TransactionLine): void {
    this.logger.info({ context: 'Transaction', ...line }, `transaction ${line.outcome}`);
  }

  /** @returns the line as the logger itself makes it, or nothing if it fails. */
  private format(transaction: FinishedTransaction, output: PinoOutput): string {
    const line = lineOf(transaction);
    let text = '';
    this.attempt(1, () => {
      text = output.capture(() => this.log(line));
    });
    this.template = this.isRepeatable ? LineTemplate.of(text, line) : undefined;
    return text;
  }

  private writeWaiting(output: PinoOutput): void {
    const { count, waiting } = this;
    this.waiting = '';
    this.count = 0;
    this.template = undefined;
    if (count > 0) this.attempt(count, () => output.write(waiting));
  }

  /**
   * A failing log is no reason to fail, and cannot report its own failure: one warning reports it for all
   * lines.
   */
  private attempt(lines: number, write: () => void): void {
    try {
      write();
    } catch (error) {
      if (this.lost === 0) process.emitWarning(`Lines of the log are lost: ${messageOf(error)}`);
      this.lost += lines;
    }
  }

  private awaitTurnEnd(output: PinoOutput): void {
    if (this.turnEndAwaited) return;
    this.turnEndAwaited = true;
    setImmediate(() => {
      this.turnEndAwaited = false;
      this.writeWaiting(output);
    });
  }
}

/** The text of a line around the parts that differ between similar transactions. */
class LineTemplate {
  private constructor(
    private readonly line: TransactionLine,
    private readonly before: string,
    private readonly after: string,
  ) {}

  /** @returns nothing if the logger has changed a part that would be replaced. */
  static of(text: string, line: TransactionLine): LineTemplate | undefined {
    if (line.attributes !== undefined || line.requestId !== undefined) return undefined;
    const parts = text.split(changing(line.transactionId, line.durationMs, line));
    return parts.length === 2 ? new LineTemplate(line, parts[0]!, parts[1]!) : undefined;
  }

  /**
   * Most transactions are like the one before: committed, of the same name, with the same participants. An
   * abort has a cause of its own.
   */
  fits(transaction: FinishedTransaction): boolean {
    const { name, outcome, cause, branches, trace_id: traceId } = this.line;
    const { origin } = transaction;
    if (cause !== undefined || transaction.attributes !== undefined) return false;
    // How a logger handles a trace shows only in a line that has one.
    if (origin?.requestId !== undefined || (origin?.trace_id === undefined) !== (traceId === undefined))
      return false;
    if (transaction.outcome !== outcome) return false;
    return transaction.name === name && transaction.hasBranches(branches);
  }

  lineOf(transaction: FinishedTransaction): string {
    const { transactionId, durationMs, origin } = transaction;
    return `${this.before}${changing(transactionId, durationMs, origin)}${this.after}`;
  }
}

/**
 * In the form of JSON, up to the next key. No string of a line can hold this text: its quotation marks would
 * be escaped.
 */
function changing(transactionId: string, durationMs: number, origin?: OriginFields): string {
  const own = `"transactionId":"${transactionId}","durationMs":${durationMs},`;
  if (origin?.trace_id === undefined) return `${own}"name":`;
  return `${own}"trace_id":"${origin.trace_id}","span_id":"${origin.span_id}","name":`;
}

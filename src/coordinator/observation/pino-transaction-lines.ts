import { type Logger, symbols } from 'pino';
import type { TransactionRecord } from '../execution/transaction-record.js';
import { type TransactionLines, lineOf, outcomeWord } from './transaction-lines.js';

/** Lines are handed to the stream when so many wait, and at the latest at the end of the turn. */
const LINES_PER_WRITE = 64;

/** The parts of a pino logger that its lines are made of, under the names that pino gives to libraries. */
interface PinoParts {
  readonly [symbols.streamSym]: { write(text: string): void; [symbols.needsMetadataGsym]?: boolean };
  readonly [symbols.lsCacheSym]: Readonly<Record<number, string>>;
  readonly [symbols.chindingsSym]: string;
  readonly [symbols.messageKeySym]: string;
  readonly [symbols.timeSym]: () => string;
  readonly [symbols.redactFmtSym]?: unknown;
  readonly [symbols.mixinSym]?: unknown;
  readonly [symbols.nestedKeySym]?: string;
  readonly [symbols.formattersSym]?: { readonly log?: unknown };
}

const INFO = 30;
const DEBUG = 20;

/**
 * Lines straight to the stream of a pino logger, many with one write. They are what the logger itself would
 * write, at a tenth of the cost: one line for each transaction is then no reason to turn them off. A logger that
 * changes its lines on the way (a mixin, redaction, a stream that wants metadata) is asked to write them itself.
 *
 * @publicApi
 */
export class PinoTransactionLines implements TransactionLines {
  private waiting = '';
  private count = 0;
  private turnEndAwaited = false;
  private readonly names = new Map<string, string>();
  private readonly parts: PinoParts;
  private readonly isPlain: boolean;

  /** @param logger for instance `pinoLogger.logger` of nestjs-pino. */
  constructor(private readonly logger: Logger) {
    this.parts = logger as unknown as PinoParts;
    this.isPlain =
      this.parts[symbols.mixinSym] === undefined &&
      this.parts[symbols.redactFmtSym] === undefined &&
      !this.parts[symbols.nestedKeySym] &&
      this.parts[symbols.formattersSym]?.log === undefined &&
      this.parts[symbols.streamSym][symbols.needsMetadataGsym] !== true &&
      typeof this.parts[symbols.lsCacheSym]?.[INFO] === 'string';
  }

  isEnabled(): boolean {
    return this.logger.levelVal <= INFO;
  }

  isDebugEnabled(): boolean {
    return this.logger.levelVal <= DEBUG;
  }

  write(record: TransactionRecord): void {
    if (!this.isPlain) {
      const line = lineOf(record);
      this.logger.info({ context: 'Transaction', ...line }, `transaction ${line.outcome}`);
      return;
    }
    this.waiting += this.format(record);
    this.count++;
    if (this.count >= LINES_PER_WRITE) this.flush();
    else this.flushAtTurnEnd();
  }

  flush(): void {
    if (this.count === 0) return;
    const text = this.waiting;
    this.waiting = '';
    this.count = 0;
    this.parts[symbols.streamSym].write(text);
  }

  private format(record: TransactionRecord): string {
    const { parts } = this;
    const outcome = outcomeWord(record);
    const durationMs = Math.round((record.endedAt - record.startedAt) * 1000) / 1000;
    let branches = '';
    for (const { branchId } of record.branches)
      branches += branches === '' ? `"${branchId}"` : `,"${branchId}"`;
    return (
      `${parts[symbols.lsCacheSym][INFO]}${parts[symbols.timeSym]()}${parts[symbols.chindingsSym]}` +
      `,"context":"Transaction","transactionId":"${record.id}","name":${this.quoted(record.name)}` +
      `,"outcome":"${outcome}","durationMs":${durationMs},"branches":[${branches}]` +
      `,"${parts[symbols.messageKeySym]}":"transaction ${outcome}"}\n`
    );
  }

  /** Names are chosen by callers, so they are quoted; they are few, so each is quoted once. */
  private quoted(name: string): string {
    let quoted = this.names.get(name);
    if (quoted === undefined) {
      quoted = JSON.stringify(name);
      if (this.names.size < 100) this.names.set(name, quoted);
    }
    return quoted;
  }

  private flushAtTurnEnd(): void {
    if (this.turnEndAwaited) return;
    this.turnEndAwaited = true;
    setImmediate(this.turnEnded);
  }

  private readonly turnEnded = (): void => {
    this.turnEndAwaited = false;
    this.flush();
  };
}

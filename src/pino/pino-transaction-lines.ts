import { type Logger, symbols } from 'pino';
import { InvalidOptionsError } from '../coordinator/errors.js';
import { messageOf } from '../coordinator/execution/incident.js';
import type { TransactionRecord } from '../coordinator/execution/transaction-record.js';
import { type TransactionLines, lineOf, outcomeWord } from '../coordinator/observation/transaction-lines.js';

/** What {@link PinoTransactionLines} can be told. @publicApi */
export interface PinoTransactionLinesOptions {
  /**
   * How many lines a write to the logger's destination may hold. More than one is cheaper by far, and is for destinations that
   * take text as it comes: a file, a pipe, a transport of pino. One that parses each write takes one line. Lines wait for
   * others to the end of the turn of the event loop, and no longer.
   *
   * @default 1
   */
  readonly linesPerWrite?: number;
  /** What counts the lines that the destination has dropped, if it does so: they are added to the metric. */
  readonly destination?: { readonly dropped: number };
}

/** The parts of a pino logger that its lines are made of, under the names that pino gives to libraries. */
interface PinoParts {
  readonly [symbols.streamSym]: { write(text: string): void; [symbols.needsMetadataGsym]?: boolean };
  readonly [symbols.lsCacheSym]: Readonly<Record<number, string>>;
  readonly [symbols.chindingsSym]: string;
  readonly [symbols.messageKeySym]: string;
  readonly [symbols.timeSym]: () => string;
  readonly [symbols.endSym]: string;
  readonly [symbols.stringifiersSym]: object;
  readonly [symbols.serializersSym]: object;
  readonly [symbols.mixinSym]?: unknown;
  readonly [symbols.nestedKeySym]?: string;
  readonly [symbols.formattersSym]: { readonly log?: unknown };
  readonly [symbols.hooksSym]: { readonly logMethod?: unknown; readonly streamWrite?: unknown };
  readonly msgPrefix: string | undefined;
}

const MAX_LINES_PER_WRITE = 1_000;

const INFO = 30;
const DEBUG = 20;

/**
 * Lines straight to the stream of a pino logger. They are what the logger itself would write, at a fraction of the cost,
 * and at a tenth of it where one write may hold many: one line for each transaction is then no reason to turn them off. A
 * logger that changes its lines on the way (a mixin, redaction, a stream that wants metadata) is asked to write them itself.
 * Lines that the stream refuses are lost, and counted.
 *
 * @publicApi
 */
export class PinoTransactionLines implements TransactionLines {
  private waiting = '';
  private count = 0;
  private head = '';
  /** Of the transaction before. */
  private name = '';
  private outcome = '';
  private branches: string[] = [];
  private description = '';
  private turnEndAwaited = false;
  private lost = 0;
  private readonly linesPerWrite: number;
  private readonly destination: PinoTransactionLinesOptions['destination'];
  private readonly parts: PinoParts;
  private readonly isPlain: boolean;
  private level: number;

  /**
   * @param logger for instance `pinoLogger.logger` of nestjs-pino.
   * @throws InvalidOptionsError when `linesPerWrite` is no whole number from 1 to 1,000.
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
    this.parts = logger as unknown as PinoParts;
    this.isPlain = isPlain(this.parts);
    this.level = logger.levelVal;
    // Asked for at every step of every transaction, the level is kept at hand.
    logger.on('level-change', () => {
      this.level = logger.levelVal;
    });
  }

  get dropped(): number {
    return this.lost + (this.destination?.dropped ?? 0);
  }

  isEnabled(): boolean {
    return this.level <= INFO;
  }

  isDebugEnabled(): boolean {
    return this.level <= DEBUG;
  }

  write(record: TransactionRecord): void {
    if (!this.isPlain) {
      const line = lineOf(record);
      this.attempt(1, () =>
        this.logger.info({ context: 'Transaction', ...line }, `transaction ${line.outcome}`),
      );
      return;
    }
    if (this.count === 0) this.beginBatch();
    this.waiting += this.format(record);
    this.count++;
    if (this.count >= this.linesPerWrite) this.flush();
    else this.flushAtTurnEnd();
  }

  flush(): void {
    const { count, waiting } = this;
    if (count === 0) return;
    this.waiting = '';
    this.count = 0;
    this.attempt(count, () => this.parts[symbols.streamSym].write(waiting));
  }

  /** A log that cannot be written is no reason to fail, and is no place to say so: a warning says it once for all. */
  private attempt(lines: number, write: () => void): void {
    try {
      write();
    } catch (error) {
      if (this.lost === 0) process.emitWarning(`Lines of the log are lost: ${messageOf(error)}`);
      this.lost += lines;
    }
  }

  private format(record: TransactionRecord): string {
    const durationMs = Math.round((record.endedAt - record.startedAt) * 1000) / 1000;
    const outcome = outcomeWord(record);
    if (!this.isLike(record, outcome)) this.describe(record, outcome);
    return `${this.head}${record.id}","durationMs":${durationMs}${this.description}`;
  }

  /** What the lines of one batch have in common: they are of one turn of the event loop, and so of one moment. */
  private beginBatch(): void {
    const { parts } = this;
    this.head =
      `${parts[symbols.lsCacheSym][INFO]}${parts[symbols.timeSym]()}${parts[symbols.chindingsSym]}` +
      `,"context":"Transaction","transactionId":"`;
  }

  /** Most transactions are like the one before: the same name, the same participants, the same outcome. */
  private isLike({ name, firstBranch, size }: TransactionRecord, outcome: string): boolean {
    if (name !== this.name || outcome !== this.outcome || size !== this.branches.length) return false;
    let index = 0;
    for (let branch = firstBranch; branch !== undefined; branch = branch.next) {
      if (branch.branchId !== this.branches[index++]) return false;
    }
    return true;
  }

  private describe({ name, branches }: TransactionRecord, outcome: string): void {
    this.name = name;
    this.outcome = outcome;
    this.branches = branches.map(({ branchId }) => branchId);
    this.description =
      `,"name":${JSON.stringify(name)},"outcome":"${outcome}","branches":${JSON.stringify(this.branches)}` +
      `,"${this.parts[symbols.messageKeySym]}":"transaction ${outcome}"${this.parts[symbols.endSym]}`;
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

/** The keys of a line: a serializer for one of them, or for every object, changes it. */
const SERIALIZED = [
  'context',
  'transactionId',
  'name',
  'outcome',
  'durationMs',
  'branches',
  Symbol.for('pino.*'),
];

/** @returns whether the logger writes what it is given as it is. */
function isPlain(parts: PinoParts): boolean {
  const hooks = parts[symbols.hooksSym];
  const serializers = parts[symbols.serializersSym];
  return (
    parts[symbols.mixinSym] === undefined &&
    Reflect.ownKeys(parts[symbols.stringifiersSym]).length === 0 &&
    !SERIALIZED.some((key) => key in serializers) &&
    !parts[symbols.nestedKeySym] &&
    parts[symbols.formattersSym].log === undefined &&
    hooks.logMethod === undefined &&
    hooks.streamWrite === undefined &&
    parts.msgPrefix === undefined &&
    parts[symbols.streamSym][symbols.needsMetadataGsym] !== true &&
    typeof parts[symbols.lsCacheSym][INFO] === 'string'
  );
}

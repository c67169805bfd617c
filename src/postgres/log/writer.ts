import { FencedError } from '../../coordinator/errors.js';
import type { DecisionLog } from '../../coordinator/log/decision-log.js';
import { FlushStatistics } from '../../coordinator/log/flush-statistics.js';
import { RecordRefusedError } from '../../coordinator/log/log-errors.js';
import { GroupCommit, type Refusals } from '../../coordinator/log/group-commit.js';
import { within } from '../../coordinator/within.js';
import { type OwnEpoch, takeIncarnation } from './epoch.js';
import type { ResolvedPostgresLogSettings } from './options.js';
import type { Place } from './records.js';
import { LogConnection, type LogSession } from './session.js';
import { codeOf } from '../sqlstate.js';
import type { ClientConfig } from 'pg';
import { type AppendWrite, type OtherWrite, type Write, WriteStatements } from './writes.js';

/**
 * The most notes that wait: far more than there are transactions in flight, and few enough to fit into
 * memory.
 */
const MAX_WAITING = 100_000;
/** The most decisions of one statement, and the most bytes of them. */
const MAX_ROWS = 1_000;
const MAX_BYTES = 16 * 1024 * 1024;
/**
 * How long notes for which no caller waits may be put off, so that they share the statement of a decision.
 */
const NOTES_WITHIN_MS = 50;
/** After a failure the notes are written again after this time. */
const NOTES_AGAIN_MS = 1_000;
/** SQLSTATE: a row with the same key exists. */
const UNIQUE_VIOLATION = '23505';
/** How long a stop waits for the task that is under way. */
const CLOSE_LIMIT_MS = 10_000;

/** A write, with the epoch that asked for it. */
interface OwnWrite {
  readonly own: OwnEpoch;
  readonly write: Write;
}

/** A note, with the transaction that it concerns. */
type NoteMap = Map<string, Place>;

/** The only connection of a member that writes, and the epoch for which it writes. */
export class LogWriter {
  readonly flushes = new FlushStatistics();
  readonly statements: WriteStatements;
  /** The epochs of this process, by their numbers. */
  readonly epochs = new Map<number, OwnEpoch>();
  private readonly connection: LogConnection;
  private readonly group = new GroupCommit<OwnWrite>((writes) => this.write(writes), MAX_WAITING);
  private readonly ended: NoteMap = new Map();
  private readonly released: NoteMap = new Map();
  private notesTimer: NodeJS.Timeout | undefined;
  private isClosed = false;
  private current: OwnEpoch | undefined;

  constructor(
    config: ClientConfig,
    private readonly settings: ResolvedPostgresLogSettings,
    private readonly maxNotes = MAX_WAITING,
  ) {
    const { connectTimeoutMs, statementTimeoutMs, schema } = settings;
    this.statements = new WriteStatements(schema);
    const limits = { connectMs: connectTimeoutMs, statementMs: statementTimeoutMs };
    this.connection = new LogConnection(config, limits, (session) => this.opened(session));
  }

  /** The epoch for which it writes. */
  get epoch(): OwnEpoch {
    if (this.current === undefined) throw new Error('The decision log is not open.');
    return this.current;
  }

  /** From now on it writes for another epoch. The adopter writes the notes of the epoch before. */
  useEpoch(epoch: OwnEpoch): void {
    this.current = epoch;
    this.epochs.set(epoch.epoch, epoch);
    this.ended.clear();
    this.released.clear();
  }

  /** Runs a task on the connection, after those that came before it. */
  run<T>(task: (session: LogSession) => Promise<T>): Promise<T> {
    return this.connection.run(task);
  }

  /**
   * As {@link run}, but only while the epoch is the present one and can write.
   *
   * @throws FencedError, LogBehindError when the epoch has ended.
   */
  runCurrent<T>(
    task: (session: LogSession, own: OwnEpoch) => Promise<T>,
    own: OwnEpoch = this.epoch,
  ): Promise<T> {
    return this.run(async (session) => {
      if (own.ended === undefined && own !== this.current) own.ended = fencedAt(own);
      if (own.ended !== undefined) throw own.ended;
      return task(session, own);
    });
  }

  /**
   * Runs a statement that has an effect only for the present epoch and incarnation. If only the incarnation
   * was wrong, the statement is sent again with a new one.
   *
   * @param statement returns undefined when it had no effect.
   * @throws FencedError when the epoch is fenced.
   */
  async conditional<T>(
    session: LogSession,
    own: OwnEpoch,
    statement: () => Promise<T | undefined>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const result = await statement();
      if (result !== undefined) return result;
      await takeIncarnation(session, this.settings.schema, own, this.settings.synchronousStandbys);
      if (own.ended !== undefined) throw own.ended;
      if (attempt === 2) throw new Error('another connection of this process writes to the decision log');
    }
  }

  /**
   * As {@link conditional}, for a statement that returns the mark of the epoch, which a later connection
   * compares.
   */
  async counted(
    session: LogSession,
    own: OwnEpoch,
    statement: () => Promise<number | undefined>,
  ): Promise<void> {
    own.hasMark(await this.conditional(session, own, statement));
  }

  /** @returns a promise as `append` of a log has it. */
  add(write: Write): ReturnType<DecisionLog['check']> {
    const own = this.epoch;
    return own.ended === undefined ? this.group.add({ own, write }) : Promise.reject(own.ended);
  }

  /** Waits for all decisions that were added before. */
  settled(): Promise<void> {
    return this.group.settled();
  }

  /**
   * Writes a note together with the next decision, or by itself if no decision comes soon. If that fails, the
   * note is written again later.
   *
   * @throws RecordRefusedError when too many notes wait: the caller keeps the note and gives it again.
   */
  note(kind: 'ended' | 'released', place: Place): void {
    if (this.epoch.ended !== undefined) return;
    const key = `${place.epoch}.${place.sequence}`;
    if (this[kind].size >= this.maxNotes && !this[kind].has(key))
      throw new RecordRefusedError(`${kind} ${key}`, `${this.maxNotes} such notes wait already`);
    this[kind].set(key, place);
    this.writeNotesIn(NOTES_WITHIN_MS);
  }

  private writeNotesIn(waitMs: number): void {
    this.notesTimer ??= setTimeout(() => {
      this.notesTimer = undefined;
      if (this.ended.size + this.released.size > 0) this.group.writeSoon();
    }, waitMs).unref();
  }

  /**
   * From now on no statement of an earlier connection has an effect. If the epoch can write nothing more,
   * `ended` says why.
   */
  newIncarnation(session: LogSession): Promise<void> {
    return takeIncarnation(session, this.settings.schema, this.epoch, this.settings.synchronousStandbys);
  }

  /** Writes the notes that were put off. To lose a note does no harm. */
  async flushNotes(): Promise<void> {
    await this.settled();
    if (this.ended.size + this.released.size > 0 && this.current?.ended === undefined) await this.write([]);
  }

  /** Closes the connection. The next task opens another. */
  disconnect(): Promise<void> {
    return this.connection.renew();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    clearTimeout(this.notesTimer);
    const rest = async (): Promise<void> => {
      await this.flushNotes();
      await this.connection.close();
    };
    await within(CLOSE_LIMIT_MS, rest(), () => undefined);
  }

  private async opened(session: LogSession): Promise<void> {
    const own = this.current;
    if (own === undefined) return;
    await takeIncarnation(session, this.settings.schema, own, this.settings.synchronousStandbys);
  }

  /**
   * Writes a batch of decisions, and the notes.
   *
   * @returns the decisions that were refused or whose results are unknown, by their places in the batch.
   */
  private async write(group: readonly OwnWrite[]): Promise<Refusals> {
    const failures = new Map<number, Error>();
    const current = this.epoch;
    const appends: Indexed[] = [];
    for (const [index, { own, write }] of group.entries()) {
      if (own !== current) failures.set(index, own.ended ?? fencedAt(own));
      else if (write.kind === 'append') appends.push({ index, write });
    }
    const chunks = chunksOf(appends);
    if (chunks.length === 0 && this.ended.size + this.released.size > 0) chunks.push([]);
    for (const chunk of chunks) await this.writeChunk(current, chunk, failures);
    for (const { indices, write } of othersOf(group, current)) {
      await this.writeOther(current, write, indices, failures);
    }
    return failures;
  }

  private async writeChunk(
    own: OwnEpoch,
    chunk: readonly Indexed[],
    failures: Map<number, Error>,
  ): Promise<void> {
    const sequences = chunk.flatMap(({ write }) => [write.sequence, ...write.others]);
    // A decision that is sent a second time may have been recorded the first time.
    const sentNow = sequences.filter((sequence) => !own.unanswered.has(sequence));
    const ended = this.endedBut(own.epoch, sequences);
    const released = [...this.released].slice(0, MAX_ROWS);
    const notes = { ended: ended.map(([, place]) => place), released: released.map(([, place]) => place) };
    const writes = chunk.map(({ write }) => write);
    let isSent = false;
    const append = (mayBeThere: boolean): Promise<void> =>
      this.runCurrent(async (session) => {
        const startedAt = performance.now();
        isSent = true;
        for (const sequence of sequences) own.unanswered.add(sequence);
        await this.counted(session, own, () =>
          this.statements.append(session, own, writes, notes, mayBeThere),
        );
        if (chunk.length > 0) this.flushes.flushed(performance.now() - startedAt, chunk.length);
      }, own);
    try {
      await append(false).catch((error: unknown) => {
        if (!(error instanceof Error) || codeOf(error.cause) !== UNIQUE_VIOLATION) throw error;
        // One of them was recorded before, so the statement had no effect.
        return append(true);
      });
      for (const sequence of sequences) own.unanswered.delete(sequence);
      for (const [key] of ended) this.ended.delete(key);
      for (const [key] of released) this.released.delete(key);
    } catch (error) {
      // It was refused: the log has answered, and has no record of it.
      if (isSent && error instanceof FencedError)
        for (const sequence of sentNow) own.unanswered.delete(sequence);
      for (const { index } of chunk) failures.set(index, asError(error));
      if (own.ended === undefined && !this.isClosed) this.writeNotesIn(NOTES_AGAIN_MS);
    }
  }

  /** One statement cannot record a decision and also end it. */
  private endedBut(epoch: number, sequences: readonly number[]): [string, Place][] {
    if (this.ended.size === 0) return [];
    const recorded = new Set(sequences.map((sequence) => `${epoch}.${sequence}`));
    return [...this.ended].filter(([key]) => !recorded.has(key)).slice(0, MAX_ROWS);
  }

  private async writeOther(
    own: OwnEpoch,
    write: OtherWrite,
    indices: readonly number[],
    failures: Map<number, Error>,
  ): Promise<void> {
    try {
      await this.runCurrent(
        (session) => this.counted(session, own, () => this.statements.other(session, own, write)),
        own,
      );
    } catch (error) {
      for (const index of indices) failures.set(index, asError(error));
    }
  }
}

/** @returns the writes that are not decisions, in their order. Consecutive audit entries form one write. */
function othersOf(
  group: readonly OwnWrite[],
  current: OwnEpoch,
): readonly { readonly indices: readonly number[]; readonly write: OtherWrite }[] {
  const others: { indices: number[]; write: OtherWrite }[] = [];
  for (const [index, { own, write }] of group.entries()) {
    if (own !== current || write.kind === 'append') continue;
    const last = others.at(-1);
    if (write.kind === 'audit' && last?.write.kind === 'audit' && last.indices.length < MAX_ROWS) {
      last.indices.push(index);
      last.write = { kind: 'audit', records: [...last.write.records, ...write.records] };
    } else others.push({ indices: [index], write });
  }
  return others;
}

interface Indexed {
  readonly index: number;
  readonly write: AppendWrite;
}

/** @returns the decisions, in as few statements as their number and size allow. */
function chunksOf(appends: readonly Indexed[]): (readonly Indexed[])[] {
  const chunks: Indexed[][] = [];
  let bytes = Infinity;
  for (const append of appends) {
    const size = append.write.record?.length ?? 0;
    if (bytes + size > MAX_BYTES || chunks.at(-1)!.length === MAX_ROWS) {
      chunks.push([]);
      bytes = 0;
    }
    chunks.at(-1)!.push(append);
    bytes += size;
  }
  return chunks;
}

function fencedAt({ coordinator, epoch }: OwnEpoch): FencedError {
  return new FencedError(coordinator, epoch);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new RecordRefusedError('a record', String(error));
}

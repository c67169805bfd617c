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

/** Far more than there are transactions in flight, and no more than fits into memory. */
const MAX_WAITING = 100_000;
/** The most decisions in one statement, and the most bytes of them. */
const MAX_ROWS = 1_000;
const MAX_BYTES = 16 * 1024 * 1024;
/** How long the notes that no caller waits for may be put off, to share the statement of a decision. */
const NOTES_WITHIN_MS = 50;
/** How long after a failure they are written again. */
const NOTES_AGAIN_MS = 1_000;
/** A row of the same key is there. */
const UNIQUE_VIOLATION = '23505';
/** How long a stop waits for what is under way. */
const CLOSE_LIMIT_MS = 10_000;

/** A write, and the epoch in which it was asked for. */
interface OwnWrite {
  readonly own: OwnEpoch;
  readonly write: Write;
}

/** A note, by the place that it is about. */
type NoteMap = Map<string, Place>;

/** The only connection of a member that writes, and the epoch that it writes in. */
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

  /** The epoch that is written in. */
  get epoch(): OwnEpoch {
    if (this.current === undefined) throw new Error('The decision log is not open.');
    return this.current;
  }

  /** From now on another epoch is written in. What was noted for the one before is another member's to write. */
  useEpoch(epoch: OwnEpoch): void {
    this.current = epoch;
    this.epochs.set(epoch.epoch, epoch);
    this.ended.clear();
    this.released.clear();
  }

  /** Runs a task on the connection, when what is under way is over. */
  run<T>(task: (session: LogSession) => Promise<T>): Promise<T> {
    return this.connection.run(task);
  }

  /**
   * As {@link run}, and only while the epoch is the present one and can write.
   *
   * @throws FencedError, LogBehindError when it is not, or cannot.
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
   * A statement that is conditional on the epoch and the incarnation. One that is refused for its incarnation alone is sent
   * again with a new one.
   *
   * @param statement answers undefined when it was refused.
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

  /** As {@link conditional}, of a statement that answers the mark of the epoch: a later connection compares it. */
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

  /** Waits for what was added so far. */
  settled(): Promise<void> {
    return this.group.settled();
  }

  /**
   * Is written with the next decision, or by itself when none comes soon. One that fails is written again later.
   *
   * @throws RecordRefusedError when too many wait: it is not kept here, and the caller gives it again.
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

  /** From now on no statement of an earlier connection has an effect. The epoch says when it can write nothing more. */
  newIncarnation(session: LogSession): Promise<void> {
    return takeIncarnation(session, this.settings.schema, this.epoch, this.settings.synchronousStandbys);
  }

  /** Writes what was put off. A note that is lost is harmless. */
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

  /** Writes a group, and the notes. @returns what was refused, or is unknown, by its place in the group. */
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
    // What is sent a second time may have been taken the first time.
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
        // One was recorded before, so the statement had no effect.
        return append(true);
      });
      for (const sequence of sequences) own.unanswered.delete(sequence);
      for (const [key] of ended) this.ended.delete(key);
      for (const [key] of released) this.released.delete(key);
    } catch (error) {
      // It was refused: the log has answered, and nothing of it is there.
      if (isSent && error instanceof FencedError)
        for (const sequence of sentNow) own.unanswered.delete(sequence);
      for (const { index } of chunk) failures.set(index, asError(error));
      if (own.ended === undefined && !this.isClosed) this.writeNotesIn(NOTES_AGAIN_MS);
    }
  }

  /** What is recorded by a statement cannot be ended by it. */
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

/** @returns the writes that are no decisions, in their order. Audit entries that follow each other are one write. */
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

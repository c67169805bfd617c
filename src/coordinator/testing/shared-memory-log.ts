import { FencedError } from '../errors.js';
import { AUDIT_KEPT, type AuditEntry, type HeuristicRecord, type LogClaim } from '../log/decision-log.js';
import { LogBehindError } from '../log/log-errors.js';
import type {
  Adoption,
  FormatRange,
  KeyedRequest,
  KnownRun,
  LogMembers,
  LoggedOutcome,
  LoggedRegistration,
  MemberLease,
  ParticipantRegistration,
  Renewal,
  Reservation,
  SharedAuditEntry,
  SharedCommitDecision,
  SharedDecisionLog,
} from '../log/shared-log.js';
import { originOf } from '../protocol/index.js';
import type { EpochRow, SharedMemoryStore, SharedTables } from './shared-memory-store.js';

/**
 * What becomes of a write that a test has chosen:
 *
 * - `lost`: the connection is lost before the write has reached the log.
 * - `unanswered`: it took effect, and the connection is lost before the answer.
 * - `late`: it is under way when its connection is given up, and reaches the log at {@link SharedMemoryLog.land}.
 * - `stale`: another connection has taken a new incarnation, so the log refuses it.
 * - `fenced`: another member has fenced the epoch, so the log refuses it.
 */
export type WriteFault = 'lost' | 'unanswered' | 'late' | 'stale' | 'fenced';

const FORMATS: FormatRange = { first: 1, last: 1 };

/** An epoch of this process, and what was sent in it and not answered. */
interface OwnEpoch {
  readonly row: EpochRow;
  readonly unanswered: Set<string>;
  /** The mark of the epoch when the log last acknowledged a write. */
  acknowledged: number;
  incarnation: number;
  /** Why it can write nothing more, where the log has lost what it had acknowledged. */
  behind: LogBehindError | undefined;
}

/** One member's handle on a shared log in memory. It keeps the contract, with faults that a test chooses. */
export class SharedMemoryLog implements SharedDecisionLog {
  readonly members: LogMembers = {
    renew: (lease) => this.renew(lease),
    adopt: (epoch) => this.adopt(epoch),
    settled: (epoch) => this.settled(epoch),
    runs: (epochs) => this.runs(epochs),
    restart: () => this.restart(),
    leave: () => this.leave(),
    raiseFormat: (format) => this.write(() => this.opened.raiseFormat(format)),
  };
  private readonly faults: WriteFault[] = [];
  private readonly late: (() => void)[] = [];
  private readonly own = new Map<number, OwnEpoch>();
  private tables: SharedTables | undefined;
  private current: OwnEpoch | undefined;

  constructor(
    private readonly store: SharedMemoryStore,
    private readonly formats: FormatRange = FORMATS,
  ) {}

  /** Chooses what becomes of the next writes, in their order. */
  failNext(...faults: readonly WriteFault[]): void {
    this.faults.push(...faults);
  }

  /** A `late` write reaches the log. It has an effect only if its incarnation is still the present one. */
  land(): void {
    for (const statement of this.late.splice(0)) statement();
  }

  /** The process is gone: its session, and with it the lock. Nothing is fenced by it. */
  crash(): void {
    if (this.current !== undefined) this.current.row.isLockHeld = false;
  }

  async open(coordinator: string): Promise<LogClaim> {
    await this.reach();
    this.tables = this.store.of(coordinator);
    return this.take();
  }

  async isOwnRun(epoch: number, token: string): Promise<boolean> {
    await this.reach();
    return this.opened.epochs.get(epoch)?.token === token;
  }

  async append(decision: SharedCommitDecision): Promise<void> {
    const { row, unanswered } = this.epoch;
    const { epoch } = row;
    const ids = [decision.id, ...(decision.alsoCommits ?? [])];
    const sequences = ids.map((id) => sequenceIn(id, this.opened.prefixOf(row)));
    const record = structuredClone(decision.toRecord());
    for (const id of ids) unanswered.add(id);
    await this.add(
      (mark) => {
        for (const [index, id] of ids.entries()) {
          const isRecord = index === 0 && record.branches.length > 0;
          const before = this.opened.decisions.get(id);
          const endedAt = isRecord ? null : this.store.now();
          if (before === undefined)
            this.opened.decisions.set(id, {
              epoch,
              sequence: sequences[index]!,
              mark,
              record: isRecord ? record : null,
              endedAt,
            });
        }
      },
      () => {
        for (const id of ids) unanswered.delete(id);
      },
    );
  }

  async lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'> {
    await this.reach();
    const epoch = originOf(transactionId)?.epoch;
    const own = epoch === undefined ? undefined : this.own.get(epoch);
    const isThere = (): 'recorded' | 'absent' =>
      this.opened.decisions.has(transactionId) ? 'recorded' : 'absent';
    if (own === undefined) {
      await this.write(() => undefined);
      return epoch !== undefined && this.opened.owns(this.epoch.row.epoch, epoch) ? isThere() : 'fenced';
    }
    if (own.behind !== undefined) throw own.behind;
    if (own.row.fencedBy === null) this.takeIncarnation(own);
    if (own.row.fencedBy !== null) return own.unanswered.has(transactionId) ? 'fenced' : isThere();
    own.unanswered.delete(transactionId);
    return isThere();
  }

  progress(decision: SharedCommitDecision, isPromised = false): Promise<void> {
    const { id } = decision;
    const record = structuredClone(decision.toRecord());
    const replace = (): void => {
      const row = this.ownedRow(id);
      if (row !== undefined && row.endedAt === null) row.record = record;
    };
    return isPromised ? this.add(replace) : this.write(replace);
  }

  end(transactionId: string, outcome: 'committed' | 'aborted' = 'committed'): Promise<void> {
    return this.write(() => {
      const row = this.ownedRow(transactionId);
      if (row === undefined || row.endedAt !== null) return;
      if (outcome === 'aborted') {
        this.opened.decisions.delete(transactionId);
        this.opened.freeKeyOf(transactionId);
        return;
      }
      row.record = null;
      row.endedAt = this.store.now();
    });
  }

  report(report: HeuristicRecord): Promise<void> {
    return this.add(() => {
      this.opened.reports.set(`${report.id}/${report.branchId}`, structuredClone(report));
    });
  }

  forget(transactionId: string, forgotten?: string): Promise<void> {
    return this.write(() => {
      if (!this.mayForget(transactionId)) return;
      for (const [key, { id, branchId }] of this.opened.reports)
        if (id === transactionId && branchId === (forgotten ?? branchId)) this.opened.reports.delete(key);
    });
  }

  audit(entry: AuditEntry): Promise<void> {
    return this.add(() => {
      this.opened.audits.push({ ...entry, epoch: this.epoch.row.epoch });
      this.opened.audits.splice(0, this.opened.audits.length - AUDIT_KEPT);
    });
  }

  check(): Promise<void> {
    return this.write(() => undefined);
  }

  close(): void {
    this.crash();
    this.tables = undefined;
    this.current = undefined;
  }

  async outcomeOf(transactionId: string): Promise<LoggedOutcome> {
    await this.reach();
    return structuredClone(this.opened.outcomeOf(transactionId));
  }

  reserve({ key, fingerprint, transactionId }: KeyedRequest): Promise<Reservation> {
    return this.add((): Reservation => {
      const { keys } = this.opened;
      const before = keys.get(key);
      const outcome = before && this.opened.outcomeOf(before.transactionId);
      if (before === undefined || outcome?.outcome === 'aborted' || before.transactionId === transactionId) {
        keys.set(key, { fingerprint, transactionId });
        return { kind: 'reserved' };
      }
      if (before.fingerprint !== fingerprint)
        return { kind: 'other-request', transactionId: before.transactionId };
      return { kind: 'earlier', transactionId: before.transactionId, outcome: structuredClone(outcome!) };
    });
  }

  release(transactionId: string): Promise<void> {
    return this.write(() => this.opened.freeKeyOf(transactionId));
  }

  async audits(): Promise<readonly SharedAuditEntry[]> {
    await this.reach();
    return [...this.opened.audits];
  }

  async reports(): Promise<readonly HeuristicRecord[]> {
    await this.reach();
    return [...this.opened.reports.values()];
  }

  register(registration: ParticipantRegistration): Promise<void> {
    return this.add(() => this.note({ ...structuredClone(registration), isRemoved: false }));
  }

  unregister(name: string): Promise<void> {
    return this.add(() => {
      const known = this.opened.registrations.get(name);
      if (known !== undefined && !known.isRemoved) this.note({ ...known, isRemoved: true });
    });
  }

  async registrations(): Promise<readonly LoggedRegistration[]> {
    await this.reach();
    return [...this.opened.registrations.values()];
  }

  private note(registration: Omit<LoggedRegistration, 'revision'>): void {
    const revision = ++this.opened.revision;
    this.opened.registrations.set(registration.name, { ...registration, revision });
  }

  private async renew(lease: MemberLease): Promise<Renewal> {
    await this.reach();
    const { row } = this.epoch;
    const { now, startedAt, timeline, synchronousStandbys } = this.store.server;
    Object.assign(row, lease, { renewedAt: now, isLockHeld: true });
    this.compareMark(this.epoch);
    const isMoved = row.takenOnTimeline !== timeline && !synchronousStandbys;
    return {
      mustRestart: isMoved ? 'timeline' : row.fencedBy === null ? null : 'fenced',
      serverUptimeMs: now - startedAt,
      format: this.opened.format,
      epochs: this.opened.membersAt(now),
    };
  }

  private async adopt(epoch: number): Promise<Adoption | 'taken'> {
    const { opened, epoch: own } = this;
    if (own.row.epoch === epoch || !opened.epochs.has(epoch))
      throw new RangeError(`Epoch ${epoch} is the own one, or the log has never given it out.`);
    const adopted = await this.add(() => opened.adopt(epoch, own.row.epoch));
    if (adopted === undefined) return 'taken';
    return this.write(() => ({
      runs: adopted.map((row) => {
        const durable = opened.isPresumable(row);
        if (durable) opened.freeKeysOf(row.epoch);
        return {
          run: { name: opened.coordinator, logId: opened.logId, epoch: row.epoch, token: row.token, durable },
          decisions: structuredClone(opened.openRecordsOf(row.epoch)),
          reports: structuredClone(opened.reportsOf(row.epoch)),
        };
      }),
    }));
  }

  private settled(epoch: number): Promise<boolean> {
    return this.write(() => {
      const row = this.opened.epochs.get(epoch);
      const isOpen = this.opened.openRecordsOf(epoch).length > 0;
      if (row?.adoptedBy !== this.epoch.row.epoch || isOpen) return false;
      row.isSettled = true;
      return true;
    });
  }

  private async runs(epochs: readonly number[]): Promise<readonly KnownRun[]> {
    await this.reach();
    return epochs.flatMap((epoch) => {
      const row = this.opened.epochs.get(epoch);
      if (row === undefined) return [];
      const { token, fencedBy, isSettled, adoptedBy } = row;
      const isPresumable = this.opened.isPresumable(row);
      return [{ epoch, token, isFenced: fencedBy !== null, isSettled, isPresumable, adoptedBy }];
    });
  }

  private async restart(): Promise<LogClaim> {
    await this.reach();
    const { row } = this.epoch;
    this.checkMark(this.epoch);
    row.fencedBy ??= row.epoch;
    row.isLockHeld = false;
    return this.take();
  }

  private async leave(): Promise<void> {
    await this.reach();
    const { row } = this.epoch;
    row.fencedBy ??= row.epoch;
    row.isLockHeld = false;
  }

  private take(): LogClaim {
    const { opened, formats } = this;
    if (opened.format < formats.first || opened.format > formats.last)
      throw new RangeError(`The log is written in format ${opened.format}.`);
    const row = opened.takeEpoch(formats);
    const { epoch, token, incarnation } = row;
    this.current = { row, unanswered: new Set(), acknowledged: 0, incarnation, behind: undefined };
    this.own.set(epoch, this.current);
    const audits = opened.audits.map(({ number, at, by, action, target, reason, detail }) => {
      return { number, at, by, action, target, reason, detail };
    });
    return { logId: opened.logId, epoch, token, durable: true, decisions: [], reports: [], audits };
  }

  /** Sends a write that adds something: it raises the mark of the epoch. */
  private async add<T>(statement: (mark: number) => T, answered?: () => void): Promise<T> {
    const own = this.epoch;
    let mark = 0;
    const result = await this.write(() => {
      mark = ++own.row.highWater;
      return statement(mark);
    }, answered);
    own.acknowledged = Math.max(own.acknowledged, mark);
    return result;
  }

  /**
   * Sends a write and awaits its answer.
   *
   * @param statement the change, in one step, if the epoch is not fenced.
   * @param answered is told whether the log has taken or refused it.
   */
  private async write<T>(statement: () => T, answered: () => void = () => {}): Promise<T> {
    const own = this.epoch;
    const { row } = own;
    try {
      await this.reach();
      if (row.fencedBy === null || own.behind !== undefined) this.checkMark(own);
    } catch (error) {
      answered();
      throw error;
    }
    const fault = this.faults.shift();
    if (fault === 'lost') throw new Error('The connection to the log was lost.');
    const { incarnation } = own;
    if (fault === 'late') {
      this.late.push(() => {
        if (row.fencedBy === null && row.incarnation === incarnation) statement();
      });
      throw new Error('The log has not answered in time.');
    }
    if (fault === 'fenced') row.fencedBy = 0;
    // Another connection of this process has taken it: the write is refused, and sent again.
    if (fault === 'stale') this.takeIncarnation(own);
    if (row.fencedBy !== null) {
      answered();
      throw new FencedError(this.opened.coordinator, row.epoch);
    }
    const result = statement();
    if (fault === 'unanswered') throw new Error('The connection to the log was lost.');
    answered();
    await Promise.resolve();
    return result;
  }

  /** A new connection: it takes the next incarnation, and compares the mark. */
  private takeIncarnation(own: OwnEpoch): void {
    own.incarnation = ++own.row.incarnation;
    this.checkMark(own);
    own.acknowledged = own.row.highWater;
  }

  /** The epoch ends when the log has lost what it had acknowledged. */
  private compareMark(own: OwnEpoch): void {
    const { row, acknowledged, behind } = own;
    if (behind !== undefined || row.highWater >= acknowledged) return;
    own.behind = new LogBehindError(row.epoch, acknowledged, row.highWater);
    row.isBehind = true;
    row.fencedBy ??= row.epoch;
  }

  /** @throws LogBehindError when the log has lost what it had acknowledged. */
  private checkMark(own: OwnEpoch): void {
    const { row } = own;
    this.compareMark(own);
    if (own.behind !== undefined) throw own.behind;
    const { timeline, synchronousStandbys } = this.store.server;
    if (row.checkedOnTimeline === timeline) return;
    row.checkedOnTimeline = timeline;
    if (!synchronousStandbys) row.fencedBy ??= row.epoch;
  }

  /** One turn on the way to the log. @throws Error when it cannot be reached: nothing was sent then. */
  private async reach(): Promise<void> {
    await Promise.resolve();
    if (this.store.isDown) throw new Error('The log cannot be reached.');
  }

  private ownedRow(id: string) {
    const row = this.opened.decisions.get(id);
    return row !== undefined && this.opened.owns(this.epoch.row.epoch, row.epoch) ? row : undefined;
  }

  private mayForget(id: string): boolean {
    const epoch = originOf(id)?.epoch;
    const row = epoch === undefined ? undefined : this.opened.epochs.get(epoch);
    return row !== undefined && (row.isSettled || this.opened.owns(this.epoch.row.epoch, row.epoch));
  }

  private get opened(): SharedTables {
    if (this.tables === undefined) throw new Error('The log is not open.');
    return this.tables;
  }

  private get epoch(): OwnEpoch {
    if (this.current === undefined) throw new Error('The log is not open.');
    return this.current;
  }
}

/** @throws RangeError for an id of another epoch or log. */
function sequenceIn(id: string, prefix: string): number {
  const digits = id.slice(prefix.length);
  if (!id.startsWith(prefix) || !/^[1-9][0-9]{0,12}$/.test(digits))
    throw new RangeError(`"${id}" is no transaction of the epoch ${prefix}`);
  return Number(digits);
}

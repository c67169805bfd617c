import type { CommitRecord, HeuristicRecord } from '../log/decision-log.js';
import { newLogId, newRunToken, nextEpoch } from '../log/log-identity.js';
import type {
  FormatRange,
  LoggedOutcome,
  LoggedRegistration,
  MemberEpoch,
  MemberLease,
  SharedAuditEntry,
} from '../log/shared-log.js';
import { idPrefixOf, originOf } from '../protocol/index.js';

// The content of a shared log, as tables in memory. Each method is one statement: it takes effect as a whole,
// or not at all.

/** One start of one member. */
export interface EpochRow extends MemberLease {
  readonly epoch: number;
  readonly token: string;
  readonly formats: FormatRange;
  readonly takenOnTimeline: number;
  incarnation: number;
  /** How many writes of the epoch have added something. */
  highWater: number;
  purged: number;
  /** The last timeline on which the owner has found that the log still holds what it had acknowledged. */
  checkedOnTimeline: number;
  /** Whether the owner has found that the log has lost what it had acknowledged. */
  isBehind: boolean;
  fencedBy: number | null;
  adoptedBy: number | null;
  isSettled: boolean;
  renewedAt: number;
  isLockHeld: boolean;
}

/** The record of a decision, or what is left of it: its outcome. */
export interface DecisionRow {
  readonly epoch: number;
  readonly sequence: number;
  /** The mark of the epoch that came with it. */
  readonly mark: number;
  record: CommitRecord | null;
  endedAt: number | null;
}

interface KeyRow {
  readonly fingerprint: string;
  readonly transactionId: string;
}

/** The state of the server that all coordinators with a log there share. */
export interface Server {
  readonly now: number;
  readonly startedAt: number;
  readonly timeline: number;
  /** Whether the operator has declared that only synchronous standbys take over. */
  readonly synchronousStandbys: boolean;
}

/** The tables of one coordinator. */
export class SharedTables {
  readonly epochs = new Map<number, EpochRow>();
  readonly decisions = new Map<string, DecisionRow>();
  readonly reports = new Map<string, HeuristicRecord>();
  readonly keys = new Map<string, KeyRow>();
  readonly audits: SharedAuditEntry[] = [];
  readonly registrations = new Map<string, LoggedRegistration>();
  format = 1;
  revision = 0;

  constructor(
    readonly coordinator: string,
    private readonly server: () => Server,
    readonly logId = newLogId(),
  ) {}

  takeEpoch(formats: FormatRange): EpochRow {
    const { now, timeline } = this.server();
    const epoch = nextEpoch(this.epochs.size);
    const row: EpochRow = {
      epoch,
      token: newRunToken(),
      formats,
      takenOnTimeline: timeline,
      checkedOnTimeline: timeline,
      isBehind: false,
      incarnation: 1,
      highWater: 0,
      purged: 0,
      fencedBy: null,
      adoptedBy: null,
      isSettled: false,
      renewedAt: now,
      isLockHeld: true,
      member: '',
      address: null,
      draining: false,
    };
    this.epochs.set(epoch, row);
    return row;
  }

  /** Whether a member may change the records of an epoch: it is its own, or one that it has adopted. */
  owns(owner: number, epoch: number): boolean {
    return owner === epoch || this.epochs.get(epoch)?.adoptedBy === owner;
  }

  /**
   * Fences an epoch, and gives it and all that it had adopted to another.
   *
   * @returns the epochs that were given, or all that the other has if it had this one before; undefined when
   * the epoch is another one's.
   */
  adopt(epoch: number, by: number): EpochRow[] | undefined {
    const row = this.epochs.get(epoch)!;
    const { adoptedBy } = row;
    if (adoptedBy !== null && adoptedBy !== by && this.epochs.get(adoptedBy)!.fencedBy === null)
      return undefined;
    const all = [...this.epochs.values()];
    const given = all.filter((other) =>
      adoptedBy === by ? other.adoptedBy === by : other === row || other.adoptedBy === epoch,
    );
    row.fencedBy ??= by;
    for (const other of given) other.adoptedBy = by;
    return given.filter(
      (other) => other === row || !other.isSettled || this.reportsOf(other.epoch).length > 0,
    );
  }

  openRecordsOf(epoch: number): CommitRecord[] {
    const rows = [...this.decisions.values()].filter((row) => row.epoch === epoch && row.endedAt === null);
    return rows.flatMap(({ record }) => (record === null ? [] : [record]));
  }

  reportsOf(epoch: number): HeuristicRecord[] {
    return [...this.reports.values()].filter(({ id }) => originOf(id)?.epoch === epoch);
  }

  /** The transactions of an epoch without a record have aborted, so that their keys are free. */
  freeKeysOf(epoch: number): void {
    for (const [key, { transactionId }] of this.keys) {
      if (originOf(transactionId)?.epoch === epoch && !this.decisions.has(transactionId))
        this.keys.delete(key);
    }
  }

  freeKeyOf(transactionId: string): void {
    for (const [key, row] of this.keys) if (row.transactionId === transactionId) this.keys.delete(key);
  }

  /** Drops outcomes that were kept long enough. */
  purge(endedBefore: number): void {
    for (const [id, { epoch, sequence, endedAt }] of this.decisions) {
      if (endedAt === null || endedAt > endedBefore) continue;
      this.decisions.delete(id);
      this.freeKeyOf(id);
      const row = this.epochs.get(epoch)!;
      row.purged = Math.max(row.purged, sequence);
    }
  }

  isPresumable({ checkedOnTimeline, isBehind }: EpochRow): boolean {
    const { synchronousStandbys, timeline } = this.server();
    return !isBehind && (synchronousStandbys || checkedOnTimeline === timeline);
  }

  outcomeOf(transactionId: string): LoggedOutcome {
    const origin = originOf(transactionId);
    if (origin?.name !== this.coordinator || origin.logId !== this.logId)
      return { outcome: 'unknown', because: 'foreign' };
    const row = this.epochs.get(origin.epoch);
    if (row === undefined) return { outcome: 'unknown', because: 'foreign' };
    const owner = this.epochs.get(row.adoptedBy ?? row.epoch)!;
    const isPurged = Number(transactionId.slice(this.prefixOf(row).length)) <= row.purged;
    const decision = this.decisions.get(transactionId);
    const isRecorded = decision !== undefined;
    const live = {
      outcome: 'live',
      owner: owner.epoch,
      address: owner.address,
      isPurged,
      isRecorded,
    } as const;
    if (decision !== undefined) {
      const isOpen = decision.endedAt === null;
      if (isOpen && decision.record?.decider.kind === 'branch') return live;
      return { outcome: 'committed', record: isOpen ? decision.record : null };
    }
    if (row.fencedBy === null) return live;
    if (isPurged) return { outcome: 'unknown', because: 'purged' };
    return this.isPresumable(row) ? { outcome: 'aborted' } : { outcome: 'unknown', because: 'undecidable' };
  }

  prefixOf({ epoch }: { readonly epoch: number }): string {
    return idPrefixOf({ name: this.coordinator, logId: this.logId, epoch });
  }

  membersAt(now: number): MemberEpoch[] {
    return [...this.epochs.values()]
      .filter(({ isSettled }) => !isSettled)
      .map((row) => ({
        epoch: row.epoch,
        token: row.token,
        member: row.member,
        address: row.address,
        draining: row.draining,
        formats: row.formats,
        ageMs: now - row.renewedAt,
        isLockHeld: row.isLockHeld,
        isFenced: row.fencedBy !== null,
        adoptedBy: row.adoptedBy,
        isPresumable: this.isPresumable(row),
      }));
  }

  /**
   * Saves the present content.
   *
   * @returns a function that restores it.
   */
  backUp(): () => void {
    const saved = structuredClone({
      epochs: [...this.epochs],
      decisions: [...this.decisions],
      reports: [...this.reports],
      keys: [...this.keys],
      audits: this.audits,
      registrations: [...this.registrations],
      format: this.format,
      revision: this.revision,
    });
    return () => {
      const { epochs, decisions, reports, keys, audits, registrations, ...numbers } = structuredClone(saved);
      const rows = new Map(this.epochs);
      this.epochs.clear();
      // Members hold their rows.
      for (const [epoch, row] of epochs) this.epochs.set(epoch, Object.assign(rows.get(epoch)!, row));
      replace(this.decisions, decisions);
      replace(this.reports, reports);
      replace(this.keys, keys);
      replace(this.registrations, registrations);
      this.audits.splice(0, this.audits.length, ...audits);
      Object.assign(this, numbers);
    };
  }

  /** Loses decisions, and with each of them whatever its epoch has added since. */
  lose(ids: readonly string[]): void {
    for (const id of ids) {
      const row = this.decisions.get(id);
      if (row === undefined) continue;
      const owner = this.epochs.get(row.epoch)!;
      owner.highWater = Math.min(owner.highWater, row.mark - 1);
      this.decisions.delete(id);
    }
  }

  raiseFormat(format: number): number {
    const live = [...this.epochs.values()].filter(({ fencedBy }) => fencedBy === null);
    if (
      format > this.format &&
      live.every(({ formats }) => formats.first <= format && format <= formats.last)
    ) {
      this.format = format;
    }
    return this.format;
  }
}

function replace<K, V>(map: Map<K, V>, entries: readonly (readonly [K, V])[]): void {
  map.clear();
  for (const [key, value] of entries) map.set(key, value);
}

/** The faults that a test can cause at the server of a shared log in memory. */
export interface SharedMemoryStoreOptions {
  /**
   * The clock of the server, in milliseconds.
   *
   * @default one that stands still until {@link SharedMemoryStore.advance}
   */
  readonly now?: () => number;
  /** Whether the operator has declared that only synchronous standbys take over. @default false */
  readonly synchronousStandbys?: boolean;
  /** The id of each log, for a test whose ids are the same each time. @default random */
  readonly logId?: string;
}

/** The server of shared logs in memory. Each `SharedMemoryLog` over it is one member's connection to it. */
export class SharedMemoryStore {
  /** Whether the server can be reached. While it is false, no statement is sent. */
  isDown = false;
  private time = 0;
  private startedAt = 0;
  private timeline = 1;
  private readonly tables = new Map<string, SharedTables>();

  constructor(private readonly options: SharedMemoryStoreOptions = {}) {}

  get server(): Server {
    const { startedAt, timeline } = this;
    return {
      now: this.now(),
      startedAt,
      timeline,
      synchronousStandbys: this.options.synchronousStandbys ?? false,
    };
  }

  now(): number {
    return this.options.now?.() ?? this.time;
  }

  /** Moves the clock of the server, if it has none of its own. */
  advance(ms: number): void {
    this.time += ms;
  }

  /**
   * Starts the server again: its sessions and their locks are gone. Each member has a new connection at its
   * next call.
   */
  restart(): void {
    this.startedAt = this.now();
    for (const tables of this.tables.values())
      for (const row of tables.epochs.values()) row.isLockHeld = false;
  }

  /**
   * A standby takes over.
   *
   * @param lose the ids of the decisions that had not reached it. @default none
   */
  failOver(lose: readonly string[] = []): void {
    this.timeline++;
    this.restart();
    for (const tables of this.tables.values()) {
      // A statement that is under way goes to the server that is gone.
      for (const row of tables.epochs.values()) row.incarnation++;
      tables.lose(lose);
    }
  }

  /**
   * Saves the present content.
   *
   * @returns a function that starts the server again with it, as after a restore from a backup.
   */
  backUp(): () => void {
    const restores = [...this.tables.values()].map((tables) => tables.backUp());
    return () => {
      for (const restore of restores) restore();
      this.restart();
    };
  }

  of(coordinator: string): SharedTables {
    let tables = this.tables.get(coordinator);
    if (tables === undefined) {
      tables = new SharedTables(coordinator, () => this.server, this.options.logId);
      this.tables.set(coordinator, tables);
    }
    return tables;
  }
}

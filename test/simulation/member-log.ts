import { FencedError } from '../../src/coordinator/errors.js';
import type { AuditEntry, HeuristicRecord, LogClaim } from '../../src/coordinator/index.js';
import type { CommitRecord } from '../../src/coordinator/log/decision-log.js';
import type {
  KeyedRequest,
  LogMembers,
  LoggedOutcome,
  LoggedRegistration,
  ParticipantRegistration,
  Reservation,
  SharedAuditEntry,
  SharedCommitDecision,
  SharedDecisionLog,
} from '../../src/coordinator/log/shared-log.js';
import { SharedMemoryLog } from '../../src/coordinator/testing/shared-memory-log.js';
import type { DecisionRow, SharedTables } from '../../src/coordinator/testing/shared-memory-store.js';
import type { MemberProcess } from './member-process.js';
import type { MembersWorld } from './members-world.js';

const MAX_LATENCY_MS = 10;
/** Beyond the time after which a coordinator asks its log again. */
const MAX_LATENESS_MS = 15_000;
/** How long it takes at most to notice that a connection to the log is gone. */
const MAX_SILENCE_MS = 6_000;

/** What is left of a call whose answer never comes. One that all calls share would keep every world in memory. */
function never(): Promise<never> {
  return new Promise(() => {});
}

/** The fault of one call. */
interface CallTraits {
  /** The transactions that it is about: it is not sent again once one of them was looked up. */
  readonly ids?: readonly string[];
  /** Whether it is conditional on the epoch and the incarnation with which it was sent. */
  readonly isWrite?: boolean;
  readonly delayMs?: number;
  /** Whether it comes again and again: a world at rest goes on with it. */
  readonly isPeriodic?: boolean;
  /** Whether it takes effect and is not answered: with an error, or with one that comes only when its connection is given up. */
  readonly unanswered?: 'error' | 'silence' | undefined;
}

/** How a call was sent. */
interface Session {
  readonly epoch: number;
  readonly incarnation: number;
}

/**
 * One member's log: a shared log in memory at the other end of a connection that fails in every way. A write is subject to
 * the epoch and the incarnation with which it was sent, and not to those that hold when it arrives.
 */
export class MemberLog implements SharedDecisionLog {
  readonly members: LogMembers = {
    renew: (lease) => this.renew(() => this.storage.members.renew(lease)),
    adopt: (epoch) => this.adopt(epoch),
    settled: (epoch) => this.call(() => this.storage.members.settled(epoch), { isWrite: true }),
    runs: (epochs) => this.call(() => this.storage.members.runs(epochs)),
    restart: () => this.take(() => this.storage.members.restart()),
    leave: () => this.call(() => this.storage.members.leave()),
    raiseFormat: (format) => this.call(() => this.storage.members.raiseFormat(format), { isWrite: true }),
  };
  /** Whether nothing gets through to the log, nor back. */
  isCut = false;
  private readonly storage: SharedMemoryLog;
  /** The latest epoch that the log has given it, whether or not it knows. */
  epoch = 0;
  private readonly lookedUp = new Set<string>();
  private late: { readonly id: string; readonly epoch: number }[] = [];

  constructor(
    private readonly process: MemberProcess,
    private readonly world: MembersWorld,
  ) {
    this.storage = new SharedMemoryLog(world.store);
  }

  open(coordinator: string): Promise<LogClaim> {
    if (this.world.faults.strikes('log cannot be opened')) return this.failing();
    return this.take(() => this.storage.open(coordinator));
  }

  isOwnRun(epoch: number, token: string): Promise<boolean> {
    return this.call(() => this.storage.isOwnRun(epoch, token));
  }

  append(decision: SharedCommitDecision): Promise<void> {
    const { faults } = this.world;
    const { id } = decision;
    this.world.judge.sentToLog(id, this.world.queue.now);
    // A record keeps the content that it had when it was sent.
    const sent = { id, alsoCommits: decision.alsoCommits ?? [], toRecord: fixed(decision.toRecord()) };
    const write = (): Promise<void> => this.storage.append(sent);
    const traits = { ids: [id, ...sent.alsoCommits], isWrite: true };
    if (faults.strikes('append fails before the write')) return this.failing();
    if (faults.strikes('append fails after the write'))
      return this.call(write, { ...traits, unanswered: 'error' });
    if (faults.strikes('acknowledgement of an append lost'))
      return this.call(write, { ...traits, unanswered: 'silence' });
    if (this.isReachable(id) && faults.strikes('append lands after its failure'))
      return this.landLater(id, write);
    if (faults.strikes('append lands late'))
      return this.call(write, { ...traits, delayMs: this.latenessMs() });
    return this.call(write, traits);
  }

  lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'> {
    const { faults, random } = this.world;
    const ask = (): Promise<'recorded' | 'absent' | 'fenced'> => {
      this.lookedUp.add(transactionId);
      return this.storage.lookUp(transactionId);
    };
    // Whether the question took effect is as uncertain as that of a write.
    if (faults.strikes('look-up fails'))
      return random.chance(0.5) ? this.call(ask, { unanswered: 'error' }) : this.failing();
    if (faults.strikes('look-up is never answered'))
      return random.chance(0.5) ? this.call(ask, { unanswered: 'silence' }) : this.failing(this.latenessMs());
    return this.call(ask);
  }

  progress(decision: SharedCommitDecision, isPromised?: boolean): Promise<void> {
    const { id } = decision;
    const sent = { id, toRecord: fixed(decision.toRecord()) };
    return this.note([id], () => this.storage.progress(sent, isPromised));
  }

  end(transactionId: string, outcome?: 'committed' | 'aborted'): Promise<void> {
    return this.note([transactionId], () => this.storage.end(transactionId, outcome));
  }

  report(report: HeuristicRecord): Promise<void> {
    return this.note([], () => this.storage.report(report));
  }

  forget(transactionId: string, branchId?: string): Promise<void> {
    return this.note([], () => this.storage.forget(transactionId, branchId));
  }

  audit(entry: AuditEntry): Promise<void> {
    return this.note([], () => this.storage.audit(entry));
  }

  check(): Promise<void> {
    if (this.world.faults.strikes('log cannot be checked')) return this.failing();
    return this.call(() => this.storage.check(), { isWrite: true });
  }

  close(): void {}

  outcomeOf(transactionId: string): Promise<LoggedOutcome> {
    return this.call(() => this.storage.outcomeOf(transactionId));
  }

  reserve(request: KeyedRequest): Promise<Reservation> {
    return this.call(() => this.storage.reserve(request), { isWrite: true, ids: [request.transactionId] });
  }

  release(transactionId: string): Promise<void> {
    return this.note([], () => this.storage.release(transactionId));
  }

  audits(): Promise<readonly SharedAuditEntry[]> {
    return this.call(() => this.storage.audits());
  }

  reports(): Promise<readonly HeuristicRecord[]> {
    return this.call(() => this.storage.reports());
  }

  register(registration: ParticipantRegistration): Promise<void> {
    return this.call(() => this.storage.register(registration), { isWrite: true });
  }

  unregister(name: string): Promise<void> {
    return this.call(() => this.storage.unregister(name), { isWrite: true });
  }

  registrations(): Promise<readonly LoggedRegistration[]> {
    return this.call(() => this.storage.registrations());
  }

  /** The session of the process ends, and with it its lock. */
  loseSession(): void {
    this.storage.crash();
  }

  /** Writes under way reach the log. */
  land(): void {
    const { late, tables } = this;
    this.late = [];
    const before = late.map(({ id, epoch }) => ({
      id,
      epoch,
      row: this.copyOf(id),
      isFenced: this.isFenced(epoch),
    }));
    this.storage.land();
    for (const { id, epoch, row, isFenced } of before) this.compare(id, epoch, row, isFenced, tables);
  }

  private get tables(): SharedTables {
    return this.world.tables;
  }

  private adopt(epoch: number): ReturnType<LogMembers['adopt']> {
    const { faults, queue, random } = this.world;
    if (faults.strikes('adopter crashes while it adopts'))
      queue.after(random.next() * 3 * MAX_LATENCY_MS, () => this.world.crashCoordinator(this.process));
    const fence = (): ReturnType<LogMembers['adopt']> => {
      this.world.adopts(this.process, epoch);
      return this.storage.members.adopt(epoch);
    };
    return this.call(fence, { isWrite: true });
  }

  private take(work: () => Promise<LogClaim>): Promise<LogClaim> {
    return this.call(async () => {
      const claim = await work();
      this.epoch = claim.epoch;
      this.world.landed.clear();
      // Its process may be gone by now: then there is no session either.
      if (!this.process.isAlive) this.loseSession();
      return claim;
    });
  }

  private renew<T>(work: () => Promise<T>): Promise<T> {
    const { faults, random, settings } = this.world;
    if (faults.strikes('renewal lost')) {
      this.process.isDisturbed();
      return this.failing();
    }
    const isLate = faults.strikes('renewal late');
    const delayMs = isLate ? random.next() * 2 * settings.options.leaseMs : this.latencyMs();
    if (isLate) this.process.isDisturbed(delayMs);
    const { epoch } = this;
    const renew = async (): Promise<T> => {
      // A statement of an earlier run renews nothing.
      if (epoch !== this.epoch) throw new FencedError('c', epoch);
      const renewal = await work();
      if (!this.process.isAlive) this.loseSession();
      return renewal;
    };
    return this.call(renew, { delayMs, isPeriodic: true });
  }

  /** It is under way when its connection is given up. */
  private landLater(id: string, write: () => Promise<void>): Promise<never> {
    this.storage.failNext('late');
    void write().catch(() => {});
    this.late.push({ id, epoch: this.epoch });
    this.world.queue.after(this.latenessMs(), () => this.land());
    return this.failing();
  }

  /** Writes what may get lost. */
  private note(ids: readonly string[], write: () => Promise<void>): Promise<void> {
    const { faults } = this.world;
    if (faults.strikes('note in the log lost')) return this.failing();
    const isLost = faults.strikes('note in the log fails after the write');
    return this.call(write, { ids, isWrite: true, unanswered: isLost ? 'error' : undefined });
  }

  /** Sends something to the log, and brings back what comes of it. */
  private call<T>(work: () => Promise<T>, traits: CallTraits = {}): Promise<T> {
    const { process, world } = this;
    const { faults, queue } = world;
    const { delayMs = this.latencyMs(), isWrite = false, isPeriodic = false, unanswered } = traits;
    const answers = (backMs: number, action: () => void): void =>
      isPeriodic ? process.inBackground(backMs, action) : process.after(backMs, action);
    process.mayFail();
    if (!process.isAlive) return never();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const lost = (): void => {
      if (isPeriodic) process.isDisturbed();
      const afterMs = unanswered === 'silence' ? this.latenessMs() : this.silenceMs();
      answers(afterMs, () => reject(new Error('the connection to the log was lost')));
    };
    const session = this.session();
    if (this.isCut || faults.strikes('request to the log lost')) {
      lost();
      return promise;
    }
    const arrives = (): void => {
      if (this.isCut || world.store.isDown) {
        lost();
        return;
      }
      const refusal = isWrite ? this.refusalOf(session, traits) : undefined;
      const isHeard = unanswered === undefined && !faults.strikes('answer of the log lost');
      if (refusal === undefined && isWrite) this.chooseFault(isHeard);
      const answer =
        refusal === undefined ? this.watched(work, session.epoch, traits) : Promise.reject(refusal);
      const backMs = faults.strikes('answer of the log late') ? this.latenessMs() : this.latencyMs();
      void answer.then(
        (value) => (isHeard ? answers(backMs, () => resolve(value)) : lost()),
        (error: unknown) => (isHeard ? answers(backMs, () => reject(error)) : lost()),
      );
    };
    if (isPeriodic) queue.inBackground(delayMs, arrives);
    else queue.after(delayMs, arrives);
    return promise;
  }

  /** One write meets one fault at most. */
  private chooseFault(isHeard: boolean): void {
    if (!isHeard) this.storage.failNext('unanswered');
    else if (this.world.faults.strikes('connection to the log is replaced')) this.storage.failNext('stale');
  }

  /** Whether a record of the present epoch would get there. */
  private isReachable(id: string): boolean {
    const isOwn = id.startsWith(this.tables.prefixOf(this));
    return isOwn && !this.isCut && !this.world.store.isDown && this.process.isAlive;
  }

  private session(): Session {
    return { epoch: this.epoch, incarnation: this.tables.epochs.get(this.epoch)?.incarnation ?? 0 };
  }

  /** Why a write that was sent then has no effect now. One that may be sent again is: it then arrives all the same. */
  private refusalOf({ epoch, incarnation }: Session, { ids = [] }: CallTraits): Error | undefined {
    if (epoch !== this.epoch) return new FencedError('c', epoch);
    const isStale = this.session().incarnation !== incarnation;
    if (isStale && ids.some((id) => this.lookedUp.has(id)))
      return new Error('another connection has looked it up');
    return undefined;
  }

  /** Looks what a write changes. */
  private async watched<T>(
    work: () => Promise<T>,
    epoch: number,
    { ids = [], isWrite = false }: CallTraits,
  ): Promise<T> {
    const before = ids.map((id) => this.copyOf(id));
    const isFenced = isWrite && this.isFenced(epoch);
    try {
      return await work();
    } finally {
      for (const [index, id] of ids.entries()) this.compare(id, epoch, before[index], isFenced, this.tables);
    }
  }

  private isFenced(epoch: number): boolean {
    const fencedBy = this.tables.epochs.get(epoch)?.fencedBy;
    return fencedBy !== undefined && fencedBy !== null;
  }

  private copyOf(id: string): DecisionRow | undefined {
    const row = this.tables.decisions.get(id);
    return row && { ...row };
  }

  private compare(
    id: string,
    epoch: number,
    before: DecisionRow | undefined,
    wasFenced: boolean,
    { decisions }: SharedTables,
  ): void {
    const { judge } = this.world;
    const after = decisions.get(id);
    const isSame = before?.record === after?.record && before?.endedAt === after?.endedAt;
    if (isSame && (before === undefined) === (after === undefined)) return;
    if (wasFenced) judge.violate(`${id}: epoch ${epoch} writes to the log although it is fenced`);
    if (before === undefined && after !== undefined) this.landed(id, after);
    else if (before?.record?.decider.kind === 'branch' && after?.record?.decider.kind === 'log')
      judge.recorded(id);
    else if (before !== undefined && before.record !== null && (after?.record ?? null) === null)
      this.ended(before.record);
  }

  private landed(id: string, { record }: DecisionRow): void {
    const { judge } = this.world;
    // The commits of the members of a group are lost with its record.
    if (judge.caseOf(id).group === undefined) this.world.landed.add(id);
    if (record?.decider.kind === 'log') judge.recorded(id, record.members);
    else judge.noted(id, record === null);
    this.say(`has ${record === null ? 'the outcome' : 'the record'} of ${id}`);
  }

  private ended(record: CommitRecord): void {
    if (record.decider.kind === 'log') this.world.judge.recordEnded(record);
    this.say(`has the end of ${record.id}`);
  }

  private failing(afterMs = this.latencyMs()): Promise<never> {
    const { promise, reject } = Promise.withResolvers<never>();
    this.process.after(afterMs, () => reject(new Error('the log cannot be reached')));
    return promise;
  }

  private silenceMs(): number {
    const { random } = this.world;
    return random.chance(0.6) ? this.latencyMs() : this.world.untilNoticed(MAX_SILENCE_MS);
  }

  private latencyMs(): number {
    return this.world.random.next() * MAX_LATENCY_MS;
  }

  private latenessMs(): number {
    return this.world.untilNoticed(MAX_LATENESS_MS);
  }

  private say(what: string): void {
    this.world.say(`${this.process.label} log`, what);
  }
}

function fixed(record: CommitRecord): () => CommitRecord {
  return () => record;
}

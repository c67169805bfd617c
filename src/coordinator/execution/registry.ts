import type { RegisteredParticipant } from '../participant/registered-participant.js';
import {
  Branches,
  Cause,
  Told,
  type TransactionIds,
  heuristicBranches,
  includes,
  isAbort,
  isCommit,
} from '../protocol/index.js';
import type { TransactionRecord } from './records.js';

/** The unresolved branches of one participant. */
export interface Unresolved {
  /** The number of stalled branches. */
  readonly stalled: number;
  /** The number with a heuristic report that no operator has dealt with. */
  readonly reports: number;
}

const NOTHING_UNRESOLVED: Unresolved = { stalled: 0, reports: 0 };

/** The limits of a registry, as the options of the coordinator have them. */
type RegistryLimits = Readonly<
  Record<'maxInFlight' | 'retainFinished' | 'retainFinishedMs' | 'retainRemarkableMs', number>
>;

/** One that has taken longer is worth a look, in milliseconds. */
const SLOW_MS = 2_000;
/** The causes of aborts that a caller cannot have wanted. */
const FAILURES: ReadonlySet<number> = new Set([
  Cause.FAILED,
  Cause.TIMED_OUT,
  Cause.NOT_RECORDED,
  Cause.PRESUMED,
  Cause.EXPIRED,
]);

/** Whether an operator may look for it when it is over: it has failed, was slow or pending, or an operator has acted on it. */
function isRemarkable({ told, state, cause, startedAt, endedAt, extras }: TransactionRecord): boolean {
  if (told === Told.PENDING || told === Told.HEURISTIC || endedAt - startedAt > SLOW_MS) return true;
  return (isAbort(state) && FAILURES.has(cause)) || extras?.isTouched === true;
}

/**
 * Every transaction in flight, and the finished ones that are still kept. The number of a transaction is its
 * place in a ring, so that starting, finding and ending one is an array access. A transaction that outlives a
 * whole turn of the ring moves to a map.
 */
export class TransactionRegistry {
  private readonly retainFinished: number;
  private readonly retainFinishedMs: number;
  private readonly retainRemarkableMs: number;
  private readonly ring: (TransactionRecord | undefined)[];
  private readonly mask: number;
  private readonly elders = new Map<number, TransactionRecord>();
  /** Transactions of earlier epochs, whose ids do not give a place. */
  private readonly restored = new Map<string, TransactionRecord>();
  /** The ids of the committed ones among them: as many as the logs held when they were restored. */
  private readonly restoredDecisions = new Set<string>();
  /** The ids of those that were members of a group, and so have no record of their own. */
  private readonly restoredMembers = new Set<string>();
  /** The owner of each place, by number: an old transaction can be dropped without touching its object. */
  private readonly owners: Float64Array;
  /** The numbers of finished transactions in the order in which they ended, as a second ring; 0 where there is none. */
  private readonly finished: Float64Array;
  /** The numbers of finished ones that are worth a look, in the order in which they ended: the many that are not push none of them out. */
  private readonly remarkable = new Set<number>();
  /** The place of the oldest one, and of the next one. */
  private oldestFinished = 0;
  private nextFinished = 0;
  private lastSequence = 0;
  /**
   * Transactions that stalled or that hold a heuristic report. They do not count towards the limits of
   * running and kept transactions.
   */
  readonly unsettled = new Set<TransactionRecord>();
  /** Transactions that have begun and have neither ended nor stalled. */
  inFlight = 0;
  private idleListeners: (() => void)[] = [];

  constructor(
    private readonly ids: TransactionIds,
    { maxInFlight, retainFinished, retainFinishedMs, retainRemarkableMs }: RegistryLimits,
  ) {
    this.retainFinished = retainFinished;
    this.retainFinishedMs = retainFinishedMs;
    this.retainRemarkableMs = retainRemarkableMs;
    const size = 2 ** Math.ceil(Math.log2(Math.max(64, maxInFlight + retainFinished)));
    this.mask = size - 1;
    this.ring = Array.from({ length: size });
    this.owners = new Float64Array(size);
    this.finished = new Float64Array(retainFinished);
  }

  /** @returns the number of the next transaction, from 1. */
  nextSequence(): number {
    return ++this.lastSequence;
  }

  /** The highest number that was given out. */
  get latestSequence(): number {
    return this.lastSequence;
  }

  /** A transaction begins. */
  add(transaction: TransactionRecord): void {
    this.place(transaction);
    this.inFlight++;
  }

  /** Adds a transaction of an earlier epoch. It does not count towards the limit of running transactions. */
  adopt(transaction: TransactionRecord): void {
    this.place(transaction);
    this.restored.set(transaction.id, transaction);
    if (isCommit(transaction.state)) this.restoredDecisions.add(transaction.id);
    this.unsettled.add(transaction);
  }

  /**
   * Whether a transaction of an earlier epoch is known to be committed. This is kept until the process ends:
   * a list of prepared branches may be older than the end of a transaction that is forgotten by now.
   */
  isRestoredDecision(id: string): boolean {
    return this.restoredDecisions.has(id);
  }

  /** Whether a transaction was restored from a record, and is present. */
  isRestored(id: string): boolean {
    return this.restored.size > 0 && this.restored.has(id);
  }

  /** Whether the number in an id of this process was given out. */
  hasBegun(id: string): boolean {
    const sequence = this.ids.sequenceOf(id);
    return sequence !== 0 && sequence <= this.lastSequence;
  }

  /** Whether a transaction was begun in an earlier run of this process. */
  isOfEarlierRun(id: string): boolean {
    return !this.ids.isCurrent(id) && this.ids.sequenceOf(id) !== 0;
  }

  /** A transaction was committed as a member of a group whose record was found. */
  noteMember(id: string): void {
    this.restoredMembers.add(id);
    this.restoredDecisions.add(id);
  }

  /** Whether a transaction is known from the record of its group alone. */
  isRestoredMember(id: string): boolean {
    return this.restoredMembers.has(id);
  }

  /** Forgets which transactions of a run are known to be committed: nothing of the run is open any more. */
  forgetDecisions(prefix: string): void {
    for (const ids of [this.restoredDecisions, this.restoredMembers]) {
      for (const id of ids) if (id.startsWith(prefix)) ids.delete(id);
    }
  }

  /** A commit record was found of a transaction that was begun in an earlier run of this process. */
  noteDecision(id: string): void {
    this.restoredDecisions.add(id);
  }

  /**
   * Whether a transaction belongs to this run, was restored as committed, or is present. It is then not
   * restored again.
   */
  hasHad(id: string): boolean {
    return this.ids.sequenceOf(id) !== 0 || this.restoredDecisions.has(id) || this.restored.has(id);
  }

  private place(transaction: TransactionRecord): void {
    const place = transaction.sequence & this.mask;
    const elder = this.ring[place];
    if (elder !== undefined) this.elders.set(elder.sequence, elder);
    this.ring[place] = transaction;
    this.owners[place] = transaction.sequence;
  }

  find(id: string): TransactionRecord | undefined {
    const sequence = this.ids.sequenceOf(id);
    if (sequence === 0) return this.restored.get(id);
    // A transaction of an earlier run takes a number of this run as its place, and keeps its own id.
    const found = this.get(sequence);
    return found?.id === id ? found : this.restored.get(id);
  }

  /**
   * The transaction has ended and is kept for a while. One that is watched is kept until it no longer is.
   *
   * @param first whether it ends for the first time, and not again after a late answer.
   */
  release(transaction: TransactionRecord, first: boolean): void {
    const wasUnsettled = this.unsettled.size > 0 && this.unsettled.has(transaction);
    if (first && !wasUnsettled) this.leaveFlight();
    if (first && isCommit(transaction.state)) this.noteLateDecision(transaction.id);
    if (transaction.isWatched) {
      this.unsettled.add(transaction);
      return;
    }
    if (wasUnsettled) this.unsettled.delete(transaction);
    // A transaction that a late answer opened again may already have its place among the finished ones.
    if (first || (wasUnsettled && !this.isKept(transaction.sequence))) this.keep(transaction);
  }

  private isKept(sequence: number): boolean {
    return this.remarkable.has(sequence) || this.finished.includes(sequence);
  }

  /** The transaction stalled: it gives its place in flight to another and is watched until it is settled. */
  setAside(transaction: TransactionRecord): void {
    if (this.unsettled.has(transaction)) return;
    this.unsettled.add(transaction);
    if (transaction.endedAt === 0) this.leaveFlight();
    else if (this.find(transaction.id) !== transaction) this.elders.set(transaction.sequence, transaction);
  }

  /**
   * @returns the unresolved branches of each participant, counted from the state of the transactions. Running
   * transactions do not count.
   */
  unresolved(): Map<RegisteredParticipant, Unresolved> {
    const found = new Map<RegisteredParticipant, Unresolved>();
    for (const transaction of this.unsettled) {
      const reports = heuristicBranches(transaction);
      if ((transaction.stalled | reports) === Branches.NONE) continue;
      for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
        const isStalled = includes(transaction.stalled, branch.index);
        const isReported = includes(reports, branch.index);
        if (!isStalled && !isReported) continue;
        const before = found.get(branch.participant) ?? NOTHING_UNRESOLVED;
        found.set(branch.participant, {
          stalled: before.stalled + Number(isStalled),
          reports: before.reports + Number(isReported),
        });
      }
    }
    return found;
  }

  /** @returns the unresolved branches of one participant. */
  unresolvedAt(participant: RegisteredParticipant): Unresolved {
    return this.unresolved().get(participant) ?? NOTHING_UNRESOLVED;
  }

  /** Drops the finished transactions whose time is up. */
  expire(now: number): void {
    this.expireRemarkable(now);
    for (;;) {
      const sequence = this.finished[this.oldestFinished];
      if (sequence === undefined || sequence === 0) return;
      const oldest = this.get(sequence);
      if (oldest !== undefined && oldest.endedAt + this.retainFinishedMs > now) return;
      this.dropOldestFinished();
    }
  }

  /** Calls back for every transaction, in no particular order. */
  forEach(callback: (transaction: TransactionRecord) => void): void {
    const { ring } = this;
    for (let place = 0; place < ring.length; place++) {
      const transaction = ring[place];
      if (transaction !== undefined) callback(transaction);
    }
    for (const elder of this.elders.values()) callback(elder);
  }

  /** @returns a promise that resolves when no transaction is in flight. It does not wait for stalled ones. */
  whenIdle(): Promise<void> {
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((resolve) => this.idleListeners.push(resolve));
  }

  /** A branch may have decided it since it was restored, or since the process has claimed the log again. */
  private noteLateDecision(id: string): void {
    // Nearly always there is no such transaction, and to look at the text of an id takes longer than all else here.
    if (this.restored.size === 0 && this.ids.formerRuns === 0) return;
    if (this.isRestored(id) || this.isOfEarlierRun(id)) this.restoredDecisions.add(id);
  }

  private leaveFlight(): void {
    this.inFlight--;
    if (this.inFlight > 0 || this.idleListeners.length === 0) return;
    const listeners = this.idleListeners;
    this.idleListeners = [];
    for (const notify of listeners) notify();
  }

  private get(sequence: number): TransactionRecord | undefined {
    const place = sequence & this.mask;
    const inRing = this.owners[place] === sequence ? this.ring[place] : undefined;
    return inRing ?? this.elders.get(sequence);
  }

  private expireRemarkable(now: number): void {
    if (this.ids.formerRuns > 0) this.mixFormer();
    for (const sequence of this.remarkable) {
      const oldest = this.get(sequence);
      if (oldest !== undefined && oldest.endedAt + this.retainRemarkableMs > now) return;
      this.dropRemarkable(sequence);
    }
  }

  /** Another member may have taken over the run in which they were begun: they are kept no longer than any other. */
  private mixFormer(): void {
    for (const sequence of this.remarkable) {
      const transaction = this.get(sequence);
      if (transaction !== undefined && this.ids.isCurrent(transaction.id)) return;
      this.remarkable.delete(sequence);
      this.keepFinished(sequence);
    }
  }

  private dropRemarkable(sequence: number): void {
    this.remarkable.delete(sequence);
    this.dropFinished(sequence);
  }

  private keep(transaction: TransactionRecord): void {
    const { sequence } = transaction;
    if (this.retainFinished === 0) {
      this.drop(sequence);
      return;
    }
    // Of another run the log may soon know more than this process.
    if (isRemarkable(transaction) && this.ids.isCurrent(transaction.id)) {
      const [oldest] = this.remarkable;
      if (this.remarkable.size === this.retainFinished) this.dropRemarkable(oldest!);
      this.remarkable.add(sequence);
      return;
    }
    this.keepFinished(sequence);
  }

  private keepFinished(sequence: number): void {
    // Where the next one has its place there is the oldest one, or none.
    if (this.finished[this.nextFinished] !== 0) this.dropOldestFinished();
    this.finished[this.nextFinished] = sequence;
    this.nextFinished = this.placeAfter(this.nextFinished);
  }

  private placeAfter(place: number): number {
    return place + 1 === this.retainFinished ? 0 : place + 1;
  }

  private dropOldestFinished(): void {
    const place = this.oldestFinished;
    const sequence = this.finished[place]!;
    this.finished[place] = 0;
    this.oldestFinished = this.placeAfter(place);
    this.dropFinished(sequence);
  }

  private dropFinished(sequence: number): void {
    // A late answer may have moved it back to the unsettled ones.
    if (this.unsettled.size > 0) {
      const oldest = this.get(sequence);
      if (oldest !== undefined && this.unsettled.has(oldest)) return;
    }
    this.drop(sequence);
  }

  private dropRestored(sequence: number): void {
    const transaction = this.get(sequence);
    if (transaction !== undefined) this.restored.delete(transaction.id);
  }

  private drop(sequence: number): void {
    if (this.restored.size > 0) this.dropRestored(sequence);
    const place = sequence & this.mask;
    if (this.owners[place] === sequence) this.ring[place] = undefined;
    if (this.elders.size > 0) this.elders.delete(sequence);
  }
}

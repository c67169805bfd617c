import type { ResolvedCoordinatorOptions } from '../coordinator.options.js';
import type { CallerSignal } from '../gate/caller-signal.js';
import type { DecisionLog, LogClaim } from '../log/decision-log.js';
import type { ParticipantRegistry } from '../participant/participant.registry.js';
import type { ParticipantResolver } from '../participant/participant-resolver.js';
import { Admission } from './admission.js';
import { AmbientTransactions } from './call.js';
import { Capacities } from './capacity/capacities.js';
import { ClaimedLog } from '../log/claimed-log.js';
import type { Clock } from './clock.js';
import { Deadlines } from './deadlines.js';
import { Executor } from './executor.js';
import { KnownMembers } from './known-members.js';
import { NO_TRACING, Observers, type Tracing, type TransactionObserver } from './observer.js';
import { type Rerun, Reruns } from './reruns.js';
import { Restoration } from './restoration.js';
import { type FoundRecords, RestoredRuns } from './restored-runs.js';
import { TimeLimits } from './time-limits.js';
import { type IdOrigin, TransactionIds, originOf } from '../protocol/index.js';
import { ServerLimits } from './capacity/server-limits.js';
import type { TransactionRecord } from './records.js';
import { RequestKeys } from './request-keys.js';
import { TransactionRegistry } from './registry.js';
import { UnconfirmedEnds } from './unconfirmed-ends.js';

/** How many transactions are looked at for a low-water mark in one turn of the event loop. */
const MOST_STEPS = 1_000;

/** The collaborators of a coordinator. */
export interface RuntimeParts {
  readonly options: ResolvedCoordinatorOptions;
  readonly participants: ParticipantRegistry;
  /** Finds the participants of branches. @default `participants` */
  readonly resolver?: ParticipantResolver;
  readonly clock: Clock;
  /** From 0 (included) to 1 (excluded). */
  readonly random: () => number;
  readonly log: DecisionLog;
  /**
   * Whether to accept participants whose branches outlive the process although the log is not durable.
   * @default false
   */
  readonly allowMemoryLog?: boolean;
  /** The answer of the log when it was opened. */
  readonly claim: LogClaim;
  readonly observer: TransactionObserver;
  /** @default no application traces */
  readonly tracing?: Tracing;
}

/** Transactions that may be prepared together with others, as a group. */
export interface Grouping {
  /**
   * @returns whether the transaction was begun, and runs as soon as its participants are free. Otherwise it starts as any other
   * does.
   */
  takes(transaction: TransactionRecord, signal: CallerSignal | undefined): boolean;
  /** A transaction that was not taken does not start either. */
  dropped(transaction: TransactionRecord): void;
  sweep(): void;
}

/** One running coordinator, built from its parts. */
export class CoordinatorRuntime {
  readonly ids: TransactionIds;
  readonly registry: TransactionRegistry;
  readonly ambient = new AmbientTransactions();
  readonly executor: Executor;
  readonly admission: Admission;
  readonly log: ClaimedLog;
  /** The operators' orders of earlier runs. */
  readonly earlierAudits: LogClaim['audits'];
  readonly deadlines: Deadlines;
  readonly timeLimits: TimeLimits;
  readonly restoration: Restoration;
  readonly observers: Observers;
  readonly reruns: Reruns;
  readonly keys: RequestKeys;
  readonly capacities: Capacities;
  readonly limits: ServerLimits;
  readonly unconfirmed = new UnconfirmedEnds();
  readonly restoredRuns = new RestoredRuns();
  /** The other members, where several share the log. */
  readonly members = new KnownMembers();
  /** Whether the unfinished transactions of earlier runs have been loaded. */
  isRestored = false;
  /** Whether decisions of earlier runs have yet to be tried for the first time. */
  isRecovering: boolean;

  /** The state of the log for operators. */
  readonly logWarning: string | undefined;

  readonly parts: Omit<RuntimeParts, 'claim'>;
  /** Where transactions wait for a group, as long as the coordinator runs transactions. */
  grouping: Grouping | undefined = undefined;
  /** Called at each sweep, with the time. */
  onSweep: (now: number) => void = () => {};
  /** No transaction of this epoch with a number up to here is called any more. */
  private settledUpTo = 0;
  /** Whether a low-water mark was asked for that is behind: then each sweep raises it. */
  private isMarkBehind = false;
  private unfinished: Pick<FoundRecords, 'decisions' | 'reports'>;

  constructor({ claim, ...parts }: RuntimeParts) {
    this.parts = parts;
    this.unfinished = claim;
    this.logWarning = claim.warning;
    const { options, participants, clock, random, log, observer } = parts;
    const resolver = parts.resolver ?? participants;
    this.ids = new TransactionIds(options.name, claim.logId, claim.epoch);
    this.log = new ClaimedLog(log, options.name, claim, () => observer.fenced(this.log.shared !== undefined));
    this.timeLimits = new TimeLimits(clock);
    this.earlierAudits = claim.audits;
    this.isRecovering = claim.decisions.length > 0;
    this.registry = new TransactionRegistry(this.ids, options);
    this.observers = new Observers(clock, observer, parts.tracing ?? NO_TRACING, (work) =>
      this.ambient.leave(work),
    );
    this.deadlines = new Deadlines(this.registry);
    this.answerForLog();
    const { registry, ambient, deadlines, observers, unconfirmed } = this;
    const { completionWaitMs, expiryMarginMs, expiryWarningMs } = options;
    this.reruns = this.makeReruns();
    this.limits = this.makeLimits();
    const { reruns, limits } = this;
    this.executor = new Executor({
      clock,
      random,
      log: this.log,
      registry,
      deadlines,
      ambient,
      observers,
      unconfirmed,
      completionWaitMs,
      expiryMarginMs,
      expiryWarningMs,
      reruns,
      limits,
    });
    const { executor, ids } = this;
    this.admission = new Admission(
      options,
      ids,
      this.log,
      registry,
      deadlines,
      resolver,
      executor,
      limits,
      observers,
    );
    this.keys = this.makeKeys();
    const { maxInFlight, timeoutMs } = options;
    const { timeLimits } = this;
    this.capacities = new Capacities(participants, executor.voting, limits, maxInFlight, clock, timeLimits);
    const noteEnd = (id: string): void => executor.records.endedEarlier(id);
    this.restoration = new Restoration(
      executor,
      registry,
      resolver,
      unconfirmed,
      observers,
      (branch, expiresAt) => executor.expiries.restored(branch, expiresAt),
      timeoutMs,
      noteEnd,
    );
  }

  /** Whether branches of a transaction may still be called: by this member, or by another one of a shared log. */
  private mayCall(id: string): boolean {
    if (!this.isRestored || this.restoredRuns.isRestoring) return true;
    const known = this.registry.find(id);
    if (known !== undefined) return !known.isSettled;
    // It has its number, and waits for room.
    if (this.limits.isWaiting(id) || this.keys.isWaiting(id)) return true;
    if (this.log.shared === undefined) return false;
    const origin = this.ids.originOf(id);
    if (origin.kind !== 'own' || this.ids.isCurrent(id)) return false;
    return this.restoredRuns.of(id) === undefined && this.members.mayBeOpen(origin.epoch);
  }

  /** What is over for good: the numbers of this epoch below the first that may still be called, and whole earlier epochs. */
  private lowWaterMarks(): { epoch: number; sequence: number }[] {
    const { ids, log, registry, members } = this;
    if (!this.isRestored || this.restoredRuns.isRestoring || log.isLost) return [];
    this.raiseMark();
    let oldest = log.epoch;
    for (const { id } of registry.unsettled) {
      const origin = ids.originOf(id);
      if (origin.kind === 'own') oldest = Math.min(oldest, origin.epoch);
    }
    if (log.shared !== undefined) {
      // Without a list of the other epochs, nothing is known of them.
      if (members.list.length === 0) oldest = 1;
      for (const { epoch } of members.list) oldest = Math.min(oldest, epoch);
    }
    return [
      { epoch: log.epoch, sequence: this.settledUpTo },
      { epoch: 0, sequence: oldest - 1 },
    ];
  }

  private raiseMark(): void {
    const { ids, registry } = this;
    const end = Math.min(registry.latestSequence, this.settledUpTo + MOST_STEPS);
    while (this.settledUpTo < end && !this.mayCall(ids.make(this.settledUpTo + 1))) this.settledUpTo++;
    // A coordinator that seldom calls a host in another process falls behind, unless it goes on by itself.
    this.isMarkBehind = this.settledUpTo === end && end < registry.latestSequence;
  }

  /**
   * Goes on with a later run of the same log: the one before was fenced. Transactions of the earlier run that are decided
   * go on as well.
   *
   * @throws RangeError when the claim is of another log, or its epoch cannot be used. Nothing has changed then.
   */
  takeRun(claim: LogClaim): void {
    const { logId } = this.log.run;
    if (claim.logId !== logId) throw new RangeError(`The log ${logId} gives its id as ${claim.logId} now.`);
    this.ids.startAgain(claim.epoch);
    // What has a number by now belongs to an earlier run, and is settled with that run as a whole.
    this.settledUpTo = this.registry.latestSequence;
    this.isMarkBehind = false;
    this.log.claimedAgain(claim);
  }

  /** What participants may ask of the run. */
  private answerForLog(): void {
    this.log.isUnsettled = (id) => this.mayCall(id);
    this.log.lowWaterMarks = () => this.lowWaterMarks();
  }

  /**
   * Forgets what was kept of epochs that the log has settled since: of their transactions the log knows more. What this
   * process still keeps of its own earlier runs is kept until its transactions are not kept any more.
   */
  forgetSettled(): void {
    const { ids, log, members, registry } = this;
    const isOver = ({ name, logId, epoch }: IdOrigin): boolean =>
      name === log.run.name && logId === log.run.logId && !members.mayBeOpen(epoch);
    for (const prefix of this.restoredRuns.forget(isOver)) {
      registry.forgetDecisions(prefix);
      this.restoration.forgetReported(prefix);
    }
    if (ids.formerRuns === 0) return;
    const kept = new Set<string>();
    registry.forEach(({ id }) => !ids.isCurrent(id) && kept.add(id.slice(0, id.lastIndexOf('.') + 1)));
    ids.forgetFormer((prefix) => {
      const isForgotten = !kept.has(prefix) && isOver(originOf(`${prefix}1`)!);
      if (isForgotten) registry.forgetDecisions(prefix);
      return isForgotten;
    });
  }

  private makeReruns(): Reruns {
    const { clock, random, options, observer } = this.parts;
    const { retryBaseMs } = options;
    const defect = (error: unknown, where: string): void => observer.defect(error, where);
    const reruns = new Reruns({ clock, random, retryBaseMs, defect });
    reruns.start = (rerun) => this.startAgain(rerun);
    return reruns;
  }

  private makeLimits(): ServerLimits {
    const { clock, options } = this.parts;
    return new ServerLimits({
      clock,
      maxQueued: options.maxQueued,
      isOpen: () => this.admission.isOpen,
      check: (transaction) => this.admission.checkAgain(transaction),
      checkNewSilence: (transaction) => this.admission.checkNewSilence(transaction),
      refused: (error) => this.admission.refused(error),
    });
  }

  private makeKeys(): RequestKeys {
    const { log, registry, ids, limits, timeLimits, admission, executor, parts } = this;
    const keys = new RequestKeys({
      log,
      registry,
      ids,
      limits,
      timeLimits,
      records: executor.records,
      clock: parts.clock,
      maxWaiting: parts.options.maxInFlight,
      admission,
    });
    executor.keyedOver = (transaction) => keys.over(transaction);
    return keys;
  }

  /** @returns the unfinished transactions of earlier runs, once. They are not kept here afterwards. */
  takeUnfinished(): FoundRecords {
    const unfinished = { ...this.unfinished, run: this.log.run };
    this.unfinished = { decisions: [], reports: [] };
    return unfinished;
  }

  /** Handles every deadline that has passed, and drops records that were kept long enough. */
  sweep(): void {
    const now = this.parts.clock.now();
    this.executor.sweep();
    this.reruns.sweep(now);
    if (this.limits.queued > 0) this.limits.sweep(now);
    this.grouping?.sweep();
    this.capacities.sweep(now);
    this.timeLimits.sweep(now);
    this.executor.voting.silent.sweep(now, () => this.parts.participants.registered());
    this.registry.expire(now);
    if (this.isMarkBehind) this.raiseMark();
    this.onSweep(now);
  }

  /** Puts the transaction in flight. */
  admit(transaction: TransactionRecord): void {
    this.admission.admit(transaction);
    this.observers.begun(transaction);
  }

  /**
   * Puts the transaction in flight and starts its voting. From then on nothing is thrown: an error is a
   * defect, and the deadline ends the transaction.
   */
  begin(transaction: TransactionRecord, signal: CallerSignal | undefined): void {
    this.admission.admit(transaction);
    try {
      this.observers.begun(transaction);
      if (signal !== undefined) transaction.listenTo(signal);
      this.executor.commitRequested(transaction);
    } catch (error) {
      this.parts.observer.defect(error, `starting ${transaction.id}`, transaction);
    }
  }

  private startAgain(rerun: Rerun): void {
    const { name, branches, inTurn, deadlineAt, attempts, settle, requestKey, attributes, requestId } = rerun;
    const timeoutMs = Math.floor(deadlineAt - this.parts.clock.now());
    const transaction = this.admission.create(name, timeoutMs, branches.length);
    for (const branch of branches) this.admission.enlist(transaction, branch);
    Object.assign(transaction.needExtras(), { inTurn, attemptsBefore: attempts, requestKey, attributes });
    if (requestId !== undefined) transaction.needExtras().caller = { requestId };
    transaction.settle = settle;
    if (requestKey === undefined) this.beginAgain(rerun, transaction);
    else void this.takeKeyAgain(rerun, transaction);
  }

  private beginAgain(rerun: Rerun, transaction: TransactionRecord): void {
    const { signal } = rerun;
    const giveUp = (): void => {
      this.keys.free(transaction);
      this.reruns.giveUp(rerun);
    };
    this.limits.admit({
      transaction,
      signal,
      isRerun: true,
      begin: () => {
        this.reruns.count++;
        this.begin(transaction, signal);
      },
      refuse: giveUp,
      cancel: giveUp,
    });
  }

  /** The attempt before has freed the key. Another request may have it by now: then its outcome is the answer. */
  private async takeKeyAgain(rerun: Rerun, transaction: TransactionRecord): Promise<void> {
    const begin = (): void => {
      this.admission.checkAgain(transaction);
      if (rerun.signal?.isAborted === true) throw new TypeError('its caller has cancelled');
      this.beginAgain(rerun, transaction);
    };
    try {
      const earlier = await this.keys.reserve(transaction, begin);
      if (earlier === undefined) return;
      rerun.signal?.stop();
      rerun.settle(earlier);
    } catch {
      // Nothing was begun, so that the outcome of the attempt before is the answer.
      this.reruns.giveUp(rerun);
    }
  }
}

import type { ResolvedCoordinatorOptions } from '../coordinator.options.js';
import {
  BranchConflictError,
  type CoordinatorError,
  type CoordinatorErrorCode,
  DrainingError,
  FencedError,
  InvalidRequestError,
  NotActiveError,
  OverloadedError,
  ParticipantNotClaimedError,
  ParticipantPausedError,
  ParticipantSilentError,
  ParticipantStalledError,
  ShuttingDownError,
  TooManyBranchesError,
  TwoLastResourcesError,
} from '../errors.js';
import { copyOf, isSamePayload } from '../gate/texts.js';
import { LogUnavailableError } from '../log/log-errors.js';
import { type BranchRequest, branchAt, readBranch } from '../participant/branch-request.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { betweenTrialsMs } from '../participant/silence.js';
import type { ParticipantResolver } from '../participant/participant-resolver.js';
import {
  State,
  type TransactionIds,
  enlist,
  enlistLastResource,
  isDecidedByBranch,
} from '../protocol/index.js';
import { BranchRecord, type TransactionExecutor, TransactionRecord } from './records.js';
import type { ClaimedLog } from '../log/claimed-log.js';
import type { Deadlines } from './deadlines.js';
import type { Observers } from './observer.js';
import type { ServerLimits } from './capacity/server-limits.js';
import type { TransactionRegistry } from './registry.js';

/** The limit of X/Open XA for the part of a global id that names the branch. */
const MAX_QUALIFIER_BYTES = 64;
const BRANCH_ID = /^[A-Za-z0-9._:-]{1,64}$/;

const REFUSALS = [
  'DTC_DRAINING',
  'DTC_FENCED',
  'DTC_LOG_UNAVAILABLE',
  'DTC_OVERLOADED',
  'DTC_PARTICIPANT_NOT_CLAIMED',
  'DTC_PARTICIPANT_PAUSED',
  'DTC_PARTICIPANT_SILENT',
  'DTC_PARTICIPANT_STALLED',
  'DTC_SERVER_BUSY',
  'DTC_SHUTTING_DOWN',
] as const satisfies readonly CoordinatorErrorCode[];

/** The most branches that are planned behind one. With more, the older ones are forgotten. */
const MAX_PLANNED = 16;

/**
 * The most branches that are planned in all: the orders of ten participants are millions. With more, all are
 * forgotten.
 */
const MAX_PLANS = 1_000;

/**
 * A branch of an earlier request, behind the branches of that request before it: each is identified by its
 * participant alone, so the same participants in the same order are branches that need no further check of
 * their form.
 */
class PlannedBranch {
  private first: PlannedBranch | undefined = undefined;
  private count = 0;
  private sibling: PlannedBranch | undefined = undefined;

  constructor(
    private readonly reference: unknown,
    /** Undefined at the start of all. */
    readonly participant: RegisteredParticipant | undefined,
  ) {}

  /** @returns the branch behind this one that the reference names; undefined if there was none. */
  after(reference: unknown): PlannedBranch | undefined {
    let planned = this.first;
    while (planned !== undefined && planned.reference !== reference) planned = planned.sibling;
    return planned;
  }

  plan(reference: unknown, participant: RegisteredParticipant): PlannedBranch {
    // The name that a caller gives may be a part of a longer text, which it would keep.
    const kept = reference === participant.name ? participant.name : reference;
    const planned = new PlannedBranch(kept, participant);
    if (this.count === MAX_PLANNED) this.count = 0;
    else planned.sibling = this.first;
    this.count++;
    this.first = planned;
    return planned;
  }
}

/** Whether nothing but the name of its participant matters for a branch, which is its id as well. */
function mayBePlanned({ participant, branchId }: BranchRecord): boolean {
  return branchId === participant.name && !participant.checksPayloads && !participant.isLastResource;
}

/** Admits transactions. Every refusal happens here, before anything has started. */
export class Admission {
  private closed = false;
  private latestName = '';
  private plans = new PlannedBranch(undefined, undefined);
  private plansVersion: number | undefined = undefined;
  private planCount = 0;
  /**
   * The latest count of the participants with unresolved branches: its time, and its number of unsettled
   * transactions.
   */
  private count:
    | {
        readonly at: number;
        readonly size: number;
        readonly participants: ReadonlyMap<RegisteredParticipant, unknown>;
      }
    | undefined = undefined;
  /** Set while an operator drains the coordinator, which then admits no new transaction. */
  isDraining = false;
  /** The number of refusals by cause, for causes in the coordinator rather than in the request. */
  readonly refusals = new Map<CoordinatorErrorCode, number>(REFUSALS.map((code) => [code, 0]));

  constructor(
    private readonly options: ResolvedCoordinatorOptions,
    private readonly ids: TransactionIds,
    private readonly log: ClaimedLog,
    private readonly registry: TransactionRegistry,
    private readonly deadlines: Deadlines,
    private readonly participants: ParticipantResolver,
    private readonly executor: TransactionExecutor,
    private readonly limits: ServerLimits,
    private readonly observers: Observers,
  ) {}

  /** Set when a shutdown was asked for. Further transactions are admitted until {@link close}. */
  isLeaving = false;

  /** Admits no further transaction. */
  close(): void {
    this.closed = true;
  }

  /** Whether requests should be sent here. */
  get isAccepting(): boolean {
    return this.isOpen && !this.isLeaving;
  }

  get isOpen(): boolean {
    return !this.closed && !this.isDraining && !this.log.isLost && this.log.problem === undefined;
  }

  /**
   * Makes a transaction that has not been admitted. Nothing refers to it yet, so it may be dropped.
   *
   * @throws ShuttingDownError, DrainingError, FencedError, LogUnavailableError, OverloadedError,
   * TooManyBranchesError, InvalidRequestError
   */
  create(name: string | undefined, timeoutMs: number | undefined, branchCount: number): TransactionRecord {
    this.checkOpen();
    const { maxBranches } = this.options;
    if (branchCount > maxBranches) throw new TooManyBranchesError(branchCount, maxBranches);
    const sequence = this.registry.nextSequence();
    return new TransactionRecord(
      this.executor,
      sequence,
      this.ids.make(sequence),
      name === undefined ? 'transaction' : this.ownName(name),
      this.executor.clock.now(),
      timeoutMs ?? this.options.timeoutMs,
    );
  }

  /** @throws ShuttingDownError, DrainingError, FencedError, LogUnavailableError, OverloadedError */
  checkOpen(): void {
    if (!this.isOpen || this.registry.inFlight >= this.options.maxInFlight) this.refuse();
  }

  /** Each transaction asks whether it is refused, and only one that is asks why. */
  private refuse(): void {
    if (this.closed) throw this.refused(new ShuttingDownError());
    if (this.isDraining) throw this.refused(new DrainingError());
    if (this.log.isLost) throw this.refused(this.fenced());
    if (this.log.problem !== undefined) throw this.refused(new LogUnavailableError(this.log.problem));
    const { maxInFlight } = this.options;
    if (this.registry.inFlight >= maxInFlight) throw this.refused(new OverloadedError(maxInFlight));
  }

  /**
   * Checks a transaction again that has waited for room and is about to start: the coordinator or one of its
   * participants may have been closed meanwhile.
   *
   * @throws ShuttingDownError, DrainingError, FencedError, LogUnavailableError, OverloadedError,
   * ParticipantNotClaimedError, ParticipantPausedError, ParticipantSilentError, ParticipantStalledError
   */
  checkAgain(transaction: TransactionRecord): void {
    this.checkOpen();
    // Its id is of a run that was fenced while it waited.
    if (!this.ids.isCurrent(transaction.id)) throw this.refused(this.fenced());
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      this.checkParticipant(branch.participant);
    }
    if (!isRerun(transaction) && transaction.extras?.isTrial !== true) this.checkSilence(transaction);
  }

  /** @returns the refusal of a run that was fenced. */
  fenced(): FencedError {
    return new FencedError(this.options.name, this.log.shared && this.log.epoch);
  }

  private checkParticipant(participant: RegisteredParticipant): void {
    const isWell = participant.isClaimed && participant.paused === undefined;
    if (!isWell || this.registry.unsettled.size > 0) this.checkClosely(participant);
  }

  private checkClosely(participant: RegisteredParticipant): void {
    if (!participant.isClaimed) throw this.refused(new ParticipantNotClaimedError(participant.name));
    if (participant.paused !== undefined) throw this.refused(new ParticipantPausedError(participant.name));
    const { maxStalled } = this.options;
    if (this.registry.unsettled.size >= maxStalled && this.isUnresolved(participant)) {
      throw this.refused(new ParticipantStalledError(participant.name, maxStalled));
    }
  }

  /**
   * Checks that a transaction may ask each of its participants. One that will commit in one phase asks none
   * to prepare.
   *
   * @throws ParticipantSilentError
   */
  checkSilence(transaction: TransactionRecord): void {
    if (commitsInOnePhase(transaction)) return;
    let isTrial = false;
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      if (branch.participant.silence.isLikely) isTrial = this.checkHeard(branch.participant) || isTrial;
    }
    if (!isTrial) return;
    transaction.needExtras().isTrial = true;
    // It may wait for room before it asks them. Those that come meanwhile are not let in as well.
    const now = this.executor.clock.now();
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next)
      branch.participant.silence.asked(now);
  }

  /**
   * Checks a transaction that waits for room after a participant has fallen silent. If that was so before it
   * came, it is one of the few that ask the participant.
   *
   * @throws ParticipantSilentError
   */
  checkNewSilence(transaction: TransactionRecord): void {
    if (isRerun(transaction) || commitsInOnePhase(transaction)) return;
    const now = this.executor.clock.now();
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      const { participant } = branch;
      const since = participant.silentSince(now);
      if (since === undefined || since <= transaction.startedAt) continue;
      const retryAfterMs = betweenTrialsMs(participant.options.prepareTimeoutMs);
      throw this.refused(new ParticipantSilentError(participant.name, retryAfterMs));
    }
  }

  /** @returns whether the participant is silent. */
  private checkHeard({ name, silence, options }: RegisteredParticipant): boolean {
    const waitMs = silence.waitMs(this.executor.clock.now(), options.prepareTimeoutMs);
    if (waitMs > 0) throw this.refused(new ParticipantSilentError(name, waitMs));
    return silence.isLikely;
  }

  /**
   * Whether branches of the participant wait for it, or for an operator. With very many of them a count takes
   * a while, so one count serves all requests of the same turn of the event loop.
   */
  private isUnresolved(participant: RegisteredParticipant): boolean {
    const now = this.executor.clock.now();
    const { size } = this.registry.unsettled;
    if (this.count?.at !== now || this.count.size !== size) {
      this.count = { at: now, size, participants: this.registry.unresolved() };
    }
    return this.count.participants.has(participant);
  }

  /** Most transactions have the same name as the one before. */
  private ownName(name: string): string {
    if (name !== this.latestName) this.latestName = copyOf(name);
    return this.latestName;
  }

  /** Counts a refusal whose caller can only try again: no room, no log, or no participant. */
  refused<E extends CoordinatorError>(error: E): E {
    this.refusals.set(error.code, (this.refusals.get(error.code) ?? 0) + 1);
    return error;
  }

  /** Marks the transaction as in flight. */
  admit(transaction: TransactionRecord): void {
    this.registry.add(transaction);
    this.deadlines.armIn(transaction, transaction.timeoutMs);
  }

  /**
   * Adds a branch to a transaction whose voting has not started.
   *
   * @returns the branch, or the existing one when its id is enlisted again.
   * @throws UnknownParticipantError, NotActiveError, BranchConflictError, TooManyBranchesError,
   * ParticipantNotClaimedError, ParticipantPausedError, ParticipantSilentError, ParticipantStalledError,
   * InvalidRequestError, TwoLastResourcesError
   */
  enlist(transaction: TransactionRecord, request: BranchRequest): BranchRecord {
    const { participant, payload, branchId } = readBranch(request);
    return this.add(transaction, participant, payload, branchId);
  }

  /**
   * As {@link enlist}, for the branches of a request that is not admitted yet: the list is read here, as it
   * may be anything. Most requests name the participants of an earlier one, in the same order. What was found
   * and checked then holds for them.
   */
  enlistAll(transaction: TransactionRecord, branches: readonly unknown[], count: number): void {
    let plan = this.planned();
    const version = plan === undefined ? undefined : this.participants.version;
    for (let index = 0; index < count; index++) {
      const { participant: reference, payload, branchId } = branchAt(branches, index);
      // To read the list may run code of the caller, which may register participants.
      const isPlanned = branchId === undefined && this.participants.version === version;
      const next = isPlanned ? plan?.after(reference) : undefined;
      if (next !== undefined) {
        this.checkParticipant(next.participant!);
        transaction.addBranch(
          new BranchRecord(transaction, enlist(transaction), next.participant!, payload, undefined),
        );
        plan = next;
      } else {
        const branch = this.add(transaction, reference, payload, branchId);
        plan = isPlanned && mayBePlanned(branch) ? this.plan(plan, reference, branch.participant) : undefined;
      }
    }
  }

  /** The start of all plans; undefined if what was resolved need not hold. */
  private planned(): PlannedBranch | undefined {
    const { version } = this.participants;
    if (version === undefined) return undefined;
    if (version !== this.plansVersion) {
      this.plansVersion = version;
      this.forgetPlans();
    }
    return this.plans;
  }

  private plan(
    behind: PlannedBranch | undefined,
    reference: unknown,
    participant: RegisteredParticipant,
  ): PlannedBranch | undefined {
    if (behind === undefined) return undefined;
    if (this.planCount === MAX_PLANS) this.forgetPlans();
    this.planCount++;
    return behind.plan(reference, participant);
  }

  private forgetPlans(): void {
    this.planCount = 0;
    this.plans = new PlannedBranch(undefined, undefined);
  }

  private add(
    transaction: TransactionRecord,
    reference: BranchRequest['participant'],
    payload: unknown,
    branchId: string | undefined,
  ): BranchRecord {
    const participant = this.participants.resolve(reference);
    if (transaction.state !== State.ACTIVE) throw new NotActiveError(transaction.id, transaction.stateName);
    if (transaction.rollbackOnly) throw new NotActiveError(transaction.id, 'rollback-only');
    if (branchId !== undefined) {
      const enlisted = enlistedBefore(transaction, participant, payload, branchId);
      if (enlisted !== undefined) return enlisted;
    }
    this.checkParticipant(participant);
    const { maxBranches } = this.options;
    if (transaction.size >= maxBranches) throw new TooManyBranchesError(transaction.size + 1, maxBranches);
    if (participant.isLastResource && isDecidedByBranch(transaction)) {
      const other = transaction.branches[transaction.decider]!;
      throw new TwoLastResourcesError(participant.name, other.participant.name);
    }
    if (participant.checksPayloads) participant.instance.checkPayload!(payload);
    const id = branchId === undefined ? freeId(transaction, participant.name) : copyOf(branchId);
    checkQualifier(participant.name, id ?? participant.name);
    // A transaction that is not admitted yet is checked, and takes all its room, when it starts. Nothing is
    // checked after this.
    if (participant.silence.isLikely && this.registry.find(transaction.id) === transaction) {
      if (!transaction.branches.some((branch) => branch.participant === participant))
        this.checkHeard(participant);
    }
    if (participant.server !== undefined && this.registry.find(transaction.id) === transaction) {
      this.limits.takeOne(transaction, participant);
    }
    const index = participant.isLastResource ? enlistLastResource(transaction) : enlist(transaction);
    const branch = new BranchRecord(transaction, index, participant, payload, id);
    transaction.addBranch(branch);
    // A transaction that is not admitted yet may be dropped, and then nothing has started.
    if (participant.hearsStarts && this.registry.find(transaction.id) === transaction) {
      this.observers.enlisted(branch);
    }
    return branch;
  }
}

function isRerun({ extras }: TransactionRecord): boolean {
  return (extras?.attemptsBefore ?? 0) > 0;
}

function commitsInOnePhase({ firstBranch, size }: TransactionRecord): boolean {
  return size === 1 && firstBranch!.participant.onePhase;
}

/**
 * @returns the branch that has the id already, if it asks for the same.
 * @throws BranchConflictError when it asks for something else; InvalidRequestError when the id is invalid.
 */
function enlistedBefore(
  transaction: TransactionRecord,
  participant: RegisteredParticipant,
  payload: unknown,
  branchId: unknown,
): BranchRecord | undefined {
  if (typeof branchId !== 'string' || !BRANCH_ID.test(branchId)) {
    throw new InvalidRequestError(
      'branchId',
      'must be 1 to 64 characters of A-Z, a-z, 0-9, ".", "_", ":" and "-"',
    );
  }
  const enlisted = transaction.branches.find((branch) => branch.branchId === branchId);
  if (enlisted?.participant === participant && isSamePayload(enlisted.payload, payload)) return enlisted;
  if (enlisted !== undefined)
    throw new BranchConflictError(branchId, participant.name, enlisted.participant.name);
  return undefined;
}

/**
 * @returns the id of a branch whose caller chose none; undefined when the participant's name can serve as id.
 */
function freeId(transaction: TransactionRecord, name: string): string | undefined {
  if (!isTaken(transaction, name)) return undefined;
  let number = 2;
  while (isTaken(transaction, `${name}.${number}`)) number++;
  return `${name}.${number}`;
}

function isTaken(transaction: TransactionRecord, id: string): boolean {
  for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
    if (branch.branchId === id) return true;
  }
  return false;
}

/** Both consist of ASCII characters, so each character is one byte. */
function checkQualifier(participant: string, branchId: string): void {
  const bytes = participant.length + branchId.length;
  if (bytes > MAX_QUALIFIER_BYTES) {
    throw new InvalidRequestError(
      'branchId',
      `must be shorter: the name of the participant, "${participant}", and the id of the branch, "${branchId}", may have ` +
        `at most ${MAX_QUALIFIER_BYTES} bytes together, and they have ${bytes}: choose a shorter branchId`,
    );
  }
}

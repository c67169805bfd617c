import { presentContext } from '../gate/present-context.js';
import { type Clock, epochMsOf } from '../execution/clock.js';
import type { CoordinatorRuntime, Grouping } from '../execution/coordinator-runtime.js';
import { BranchRecord, type TransactionExecutor, TransactionRecord } from '../execution/records.js';
import type { CallerSignal } from '../gate/caller-signal.js';
import type { GroupingParticipant } from '../participant/group.js';
import type { Branch } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { enlist, patienceEnded } from '../protocol/index.js';
import { type GroupParts, GroupRun } from './group-run.js';
import { Member, type MemberParts } from './member.js';
import { OccupiedParticipants } from './occupied-participants.js';
import { WaitingMembers } from './waiting-members.js';

/** The name of every group, among the names of transactions. */
const GROUP = 'group';

/**
 * Prepares transactions together: those that arrive while a participant works for one group become the next
 * group. A transaction that finds its participants free runs as any other one, and does not wait for others.
 */
export class Groups implements Grouping {
  private readonly occupied: OccupiedParticipants;
  private readonly waiting: WaitingMembers;
  /** Members that run on their own and had no room to start. */
  private readonly alone = new Set<Member>();
  private readonly running = new Map<TransactionRecord, GroupRun>();
  /** Aborted groups of which members wait for an answer, for an unknown time. */
  private readonly lingering = new Set<GroupRun>();
  private isScheduled = false;
  /** Groups belong to no caller. */
  private readonly inNoContext = presentContext();
  private readonly memberParts: MemberParts;

  /** @param nextTurn calls back when those have had their turn that were answered just now. */
  constructor(
    private readonly runtime: CoordinatorRuntime,
    private readonly nextTurn: (work: () => void) => void = (work) => void setImmediate(work),
  ) {
    const { registry, parts, executor, observers, reruns } = runtime;
    const { maxGroupMembers, maxGroupBytes } = parts.options;
    this.waiting = new WaitingMembers(maxGroupMembers, maxGroupBytes);
    this.occupied = new OccupiedParticipants(
      registry,
      (transaction, isOver) => this.freed(transaction, isOver),
      (transaction) => this.running.get(transaction)?.waits(),
    );
    this.memberParts = {
      executor,
      prepareFailed: (branch, cause, message) => observers.prepareFailed(branch, cause, message),
      setAside: (transaction) => {
        patienceEnded(transaction, transaction.executor);
        if (transaction.endedAt !== 0) return;
        registry.setAside(transaction);
        reruns.stalled(transaction);
      },
    };
  }

  /** @returns the object that groups the transactions of a coordinator. There is one for each coordinator. */
  static of(runtime: CoordinatorRuntime): Grouping {
    runtime.grouping ??= new Groups(runtime);
    return runtime.grouping;
  }

  takes(transaction: TransactionRecord, signal: CallerSignal | undefined): boolean {
    // Most participants take part in no group.
    if (transaction.firstBranch?.participant.grouped !== true) return false;
    return this.mayBeGrouped(transaction) && this.join(transaction, signal);
  }

  /** As {@link takes}, for a transaction whose participants take part in groups. */
  private join(transaction: TransactionRecord, signal: CallerSignal | undefined): boolean {
    // One that cannot be grouped may take long: no other transaction waits for it.
    if (!this.mayJoin(transaction)) return false;
    const bytes = bytesOf(transaction);
    if (bytes === undefined || bytes > this.runtime.parts.options.maxGroupBytes) return false;
    const participants = participantsOf(transaction);
    if (!this.isScheduled && this.occupied.areFree(participants) && !this.waiting.hasAnyFor(participants)) {
      this.occupied.occupy(participants, transaction);
      return false;
    }
    const inContext = presentContext();
    const left = (member: Member): void => this.waiting.delete(member);
    const member = new Member(transaction, participants, bytes, inContext, this.memberParts, left);
    transaction.executor = member;
    transaction.needGroup().place = member;
    this.runtime.admission.admit(transaction);
    this.safely(`starting ${transaction.id}`, () => {
      this.runtime.observers.begun(transaction);
      if (signal !== undefined) transaction.listenTo(signal);
      this.waiting.add(member);
    });
    return true;
  }

  dropped(transaction: TransactionRecord): void {
    if (transaction.extras?.group?.occupation === undefined) return;
    this.occupied.vacate(transaction);
    if (!this.waiting.isEmpty) this.schedule();
  }

  sweep(): void {
    this.occupied.sweep();
    for (const run of this.lingering) if (!run.lingers()) this.lingering.delete(run);
    if (this.alone.size > 0) {
      const members = [...this.alone];
      this.alone.clear();
      for (const member of members) this.runAlone(member);
    }
    if (!this.waiting.isEmpty && !this.isScheduled) this.serve();
  }

  private mayBeGrouped({ firstBranch, size, extras }: TransactionRecord): boolean {
    if (this.runtime.parts.options.maxGroupMembers === 1 || extras?.inTurn === true) return false;
    // The participant decides by itself, without a prepared transaction.
    if (size === 1 && firstBranch!.participant.onePhase) return false;
    for (let branch = firstBranch; branch !== undefined; branch = branch.next) {
      const { participant } = branch;
      if (!participant.grouped || !this.mayWork(participant)) return false;
      for (let other = branch.next; other !== undefined; other = other.next) {
        if (other.participant === participant) return false;
      }
    }
    return true;
  }

  private mayWork(participant: RegisteredParticipant): boolean {
    return participant.paused === undefined && participant.isClaimed && !this.occupied.isSilent(participant);
  }

  private mayJoin(transaction: TransactionRecord): boolean {
    return transaction.branches.every((branch) => {
      const { participant, payload } = branch;
      const instance = participant.instance as Partial<GroupingParticipant>;
      try {
        const answer: unknown =
          instance.mayJoinGroup === undefined ||
          instance.mayJoinGroup(payload, new PlannedBranch(transaction, branch, this.runtime.parts.clock));
        return answer === true;
      } catch (error) {
        this.runtime.observers.userCodeFailed(`mayJoinGroup() of "${participant.name}"`, error);
        return false;
      }
    });
  }

  private freed(transaction: TransactionRecord, isOver: boolean): void {
    const wasGroup = this.running.has(transaction);
    if (isOver && wasGroup) this.running.delete(transaction);
    // The callers of a group are answered now, and may come back at once.
    if (wasGroup || !this.waiting.isEmpty) this.schedule();
  }

  private schedule(): void {
    if (this.isScheduled) return;
    this.isScheduled = true;
    this.nextTurn(() => {
      this.isScheduled = false;
      this.serve();
    });
  }

  /** Starts the next groups, as far as their participants are free. */
  private serve(): void {
    this.inNoContext(() =>
      this.safely('starting a group', () => {
        // Nothing waits for a participant that does not work.
        for (const member of this.waiting.take((participant) => !this.mayWork(participant)))
          this.runAlone(member);
        this.waiting.serve(
          (participant) => !this.occupied.isOccupied(participant),
          (members) => this.startNext(members),
        );
      }),
    );
  }

  private startNext(members: readonly Member[]): void {
    const { ids, executor } = this.runtime;
    for (const { transaction } of members) executor.heedDeadline(transaction);
    const current = members.filter(({ transaction, isActive }) => isActive && ids.isCurrent(transaction.id));
    // Of an earlier run of this process, which was fenced.
    for (const member of members) if (member.isActive && !current.includes(member)) this.runAlone(member);
    const [first, ...others] = current;
    if (first === undefined) return;
    if (others.length > 0) this.startGroup(current);
    else {
      this.occupied.occupy(first.participants, first.transaction);
      this.runAlone(first);
    }
  }

  private startGroup(members: readonly Member[]): void {
    const { admission, observers } = this.runtime;
    const run = new GroupRun(this.groupParts(), members);
    run.enlist((executor) => this.makeGroup(members[0]!.participants, executor));
    const { group } = run;
    this.running.set(group, run);
    this.occupied.occupy(members[0]!.participants, group);
    const begin = (): void => {
      admission.admit(group);
      this.safely(`starting ${group.id}`, () => observers.begun(group));
      void run.start();
    };
    const noRoom = (): void => {
      // A later sweep tries again, as long as the members have time.
      this.running.delete(group);
      this.waiting.putInFront(members.filter(({ isActive }) => isActive));
      this.occupied.vacate(group);
    };
    this.withRoom(group, begin, noRoom);
  }

  private makeGroup(
    participants: readonly RegisteredParticipant[],
    executor: TransactionExecutor,
  ): TransactionRecord {
    const { registry, ids, parts } = this.runtime;
    const sequence = registry.nextSequence();
    const id = ids.make(sequence);
    const { timeoutMs } = parts.options;
    const group = new TransactionRecord(executor, sequence, id, GROUP, parts.clock.now(), timeoutMs);
    for (const participant of participants) {
      group.addBranch(new BranchRecord(group, enlist(group), participant, null, undefined));
    }
    return group;
  }

  private groupParts(): GroupParts {
    const { parts, timeLimits, executor, log, observers, registry } = this.runtime;
    return {
      clock: parts.clock,
      timeLimits,
      executor,
      heedDeadline: (transaction) => executor.heedDeadline(transaction),
      recordsAll: log.shared !== undefined,
      alone: (members) => {
        for (const member of members) this.runAlone(member);
      },
      putBack: (members) => this.waiting.putInFront(members),
      grouped: (transaction, note, group) => observers.grouped(transaction, note, group),
      linger: (run) => this.lingering.add(run),
      setAside: (transaction) => registry.setAside(transaction),
      late: (participant) => this.occupied.late(participant),
      defect: (error, where) => observers.defect(error, where),
    };
  }

  /** A member runs as any other transaction does. */
  private runAlone(member: Member): void {
    const { executor, limits } = this.runtime;
    const { transaction } = member;
    const begin = (): void => {
      if (!member.isActive) {
        limits.release(transaction);
        this.dropped(transaction);
        return;
      }
      member.release();
      this.safely(`starting ${transaction.id}`, () => executor.commitRequested(transaction));
    };
    const noRoom = (): void => {
      this.dropped(transaction);
      if (member.isActive) this.alone.add(member);
    };
    member.inContext(() => this.withRoom(transaction, begin, noRoom));
  }

  /** Begins a transaction when its database servers have room for it. */
  private withRoom(transaction: TransactionRecord, begin: () => void, noRoom: () => void): void {
    const { limits } = this.runtime;
    if (!limits.isActive) {
      begin();
      return;
    }
    try {
      limits.admit({ transaction, signal: undefined, isRerun: true, begin, refuse: noRoom, cancel: noRoom });
    } catch {
      // The queue is full.
      noRoom();
    }
  }

  private safely(where: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.runtime.observers.defect(error, where);
    }
  }
}

/** A branch whose work has not begun, as a participant receives it. */
class PlannedBranch implements Branch {
  readonly transactionId: string;
  readonly branchId: string;
  readonly payload: unknown;
  readonly deadline: number;
  readonly attempt = 0;
  readonly run: Branch['run'];
  declare readonly requestId?: string;

  constructor(
    { id, deadlineAt, executor }: TransactionRecord,
    { branchId, payload, requestId }: BranchRecord,
    clock: Clock,
  ) {
    this.transactionId = id;
    this.branchId = branchId;
    this.payload = payload;
    this.deadline = epochMsOf(clock, deadlineAt);
    this.run = executor.run;
    if (requestId !== undefined) this.requestId = requestId;
  }

  /** Made only for those that look at it. */
  get signal(): AbortSignal {
    return new AbortController().signal;
  }
}

/** @returns its participants in one order, that of their registration. */
function participantsOf({ branches }: TransactionRecord): readonly RegisteredParticipant[] {
  return branches.map(({ participant }) => participant).toSorted((one, other) => one.rank - other.rank);
}

/** @returns the size of its payloads as JSON; undefined if they cannot be measured. */
function bytesOf({ branches }: TransactionRecord): number | undefined {
  try {
    return branches.reduce((sum, { payload }) => sum + Buffer.byteLength(JSON.stringify(payload) ?? ''), 0);
  } catch {
    return undefined;
  }
}

import type { Clock } from '../execution/clock.js';
import type { GroupNote } from '../execution/group-fields.js';
import { abortReason } from '../execution/outcomes.js';
import {
  type BranchHeuristic,
  type BranchRecord,
  Call,
  type TransactionExecutor,
  type TransactionRecord,
} from '../execution/records.js';
import type { TimeLimits } from '../execution/time-limits.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import {
  Branches,
  Cause,
  Decider,
  State,
  includes,
  patienceEnded,
  requestCommit,
  requestRollback,
} from '../protocol/index.js';
import { GroupExecutor } from './group-executor.js';
import { BUSY, GroupWork, type RunVotes } from './group-work.js';
import { type Judgement, type Refusal, judge } from './judgement.js';
import { type Member, reportedLate } from './member.js';
import { type ReadVote, isProblem } from './member-votes.js';

/** How often the work of a group runs at most. */
const MAX_RUNS = 4;

/**
 * The future of a member that is no longer part of its group, as soon as none of its work is open: it runs on
 * its own, it waits for the next group, or for a group that waits for those of other coordinators, or it is
 * decided already.
 */
type Next = 'alone' | 'again' | 'in turn' | 'decided';

/**
 * A group that is aborted for one of these may have been aborted because of any of its members, or of none.
 */
const SAYS_NOTHING_OF_MEMBERS = new Set([Cause.REFUSED, Cause.FAILED, Cause.TIMED_OUT, Cause.EXPIRED]);

/** The parts of the coordinator that a group uses. */
export interface GroupParts {
  readonly clock: Clock;
  readonly timeLimits: TimeLimits;
  readonly executor: TransactionExecutor;
  /** Ends a transaction whose deadline has passed, if no sweep has run since. */
  readonly heedDeadline: (transaction: TransactionRecord) => void;
  /** Whether another member of the coordinator answers for the group when this one is gone. */
  readonly recordsAll: boolean;
  /** These run on their own from now on. */
  readonly alone: (members: readonly Member[]) => void;
  /** These go to the front of the next group. */
  readonly putBack: (members: readonly Member[]) => void;
  /** A transaction is prepared with a group, or is a group whose work runs. */
  readonly grouped: (transaction: TransactionRecord, note: GroupNote, group?: TransactionRecord) => void;
  /** Some members of an aborted group wait for an answer to the group. */
  readonly linger: (run: GroupRun) => void;
  /** A transaction has a report that an operator has to deal with. */
  readonly setAside: (transaction: TransactionRecord) => void;
  /** The participant has not answered in time. */
  readonly late: (participant: RegisteredParticipant) => void;
  readonly defect: (error: unknown, where: string) => void;
}

/**
 * One group, from the work of its members to its end. The work runs first, at all participants, and is
 * prepared only if no member is refused anywhere. Otherwise it is discarded, and runs again without the
 * members that were refused.
 */
export class GroupRun {
  /** The group, which the protocol drives as any other transaction. */
  group!: TransactionRecord;
  private work!: GroupWork;
  /** Those that are part of the present run, in their order. */
  private members: readonly Member[];
  /** They were refused behind another member. They are tried behind those that stay, in the next run. */
  private trials: readonly Member[] = [];
  /** Their work is open until the next run has undone it everywhere. */
  private readonly leaving = new Map<Member, Next>();
  /**
   * Each was refused behind exactly the members that are prepared. They are final once the group has
   * committed.
   */
  private refusals: Refusal<Member>[] = [];
  /** They run on their own when no participant holds anything of the group. */
  private readonly aside: Member[] = [];
  /** They have ended before each prepare was answered: a late answer may still bring a report. */
  private early: TransactionRecord[] = [];
  private runs = 0;
  isUntouched = true;
  private isPreparing = false;
  private isDecided = false;
  private isOver = false;
  /** Whether a group of another coordinator is at work at a participant. */
  private hasMetOthers = false;

  constructor(
    private readonly parts: GroupParts,
    members: readonly Member[],
  ) {
    this.members = members;
  }

  /** @param make makes the record of the group, which the executor drives. */
  enlist(make: (executor: TransactionExecutor) => TransactionRecord): void {
    this.group = make(new GroupExecutor(this.parts.executor, this));
    this.work = new GroupWork(this.group, this.parts);
    this.note();
  }

  /** Runs the work until the group can be prepared, or ends it. It never rejects. */
  async start(): Promise<void> {
    try {
      await this.toPrepare();
    } catch (error) {
      this.parts.defect(error, `running the group ${this.group.id}`);
      this.giveUp('the coordinator has failed');
    }
  }

  private async toPrepare(): Promise<void> {
    while (this.isWorking) {
      this.leave(
        this.members.filter(({ isActive }) => !isActive),
        'decided',
      );
      this.members = this.members.filter(({ isActive }) => isActive);
      if (this.members.length === 0 || this.runs === MAX_RUNS) {
        this.giveUp(this.runs === MAX_RUNS ? `its work has run ${MAX_RUNS} times` : 'no member is left');
        return;
      }
      const votes = await this.runOnce();
      this.heedDeadlines();
      if (!this.isWorking) return;
      if (votes === BUSY) this.hasMetOthers = true;
      if (votes === BUSY || typeof votes === 'string') {
        this.giveUp(votes === BUSY ? 'a group of another coordinator works at a participant' : votes);
        return;
      }
      // Nothing but the work of the members is open.
      for (const member of this.trials) member.over();
      this.haveLeft();
      const judgement = judge(this.members, (_member, index) => votes.members[index]!);
      if (judgement.kept.length === this.members.length) {
        if (judgement.isComplete) this.prepare(votes);
        else this.giveUp('a participant has left out the work of a member, and none was refused');
        return;
      }
      const { canRerun } = this.work;
      if (!canRerun && !(await this.discarded())) return;
      this.goOnWith(judgement, canRerun);
      if (!canRerun) this.haveLeft();
    }
  }

  /** @returns whether the work is undone everywhere, and the group goes on. */
  private async discarded(): Promise<boolean> {
    const problem = await this.work.discard(this.runs);
    this.heedDeadlines();
    if (!this.isWorking) return false;
    if (problem !== undefined) {
      this.giveUp(problem);
      return false;
    }
    this.isUntouched = true;
    for (const member of this.members) member.over();
    return true;
  }

  /** An answer after the deadline of a member, or of the group, is late for it. */
  private heedDeadlines(): void {
    for (const { transaction } of [...this.members, ...this.trials]) this.parts.heedDeadline(transaction);
    this.parts.heedDeadline(this.group);
  }

  private get isWorking(): boolean {
    return this.group.state === State.ACTIVE;
  }

  /** @returns the votes; a text if they say nothing about single members. */
  private runOnce(): Promise<RunVotes | string | typeof BUSY> {
    const isOpen = !this.isUntouched;
    this.runs++;
    this.note();
    this.isUntouched = false;
    this.trials = this.trials.filter(({ isActive }) => isActive);
    for (const member of [...this.members, ...this.trials]) member.hasOpenWork = true;
    const inTurn = this.members.some(({ wasBusy }) => wasBusy);
    return this.work.run(this.members, this.trials, this.runs, isOpen, inTurn);
  }

  /**
   * @param canTry whether those that were refused behind another member can be tried behind those that stay.
   */
  private goOnWith({ kept, first, later, alone, gone }: Judgement<Member>, canTry: boolean): void {
    this.members = kept;
    this.leave(gone, 'decided');
    this.leave(alone, 'alone');
    if (first !== undefined) {
      this.leave([first.member], 'decided');
      first.member.refuse(first.votes);
    }
    if (canTry && kept.length > 0) {
      this.trials = [...this.trials, ...later];
      this.leave(later, 'decided');
    } else this.leave(later, 'again');
  }

  private leave(members: readonly Member[], next: Next): void {
    for (const member of members) this.leaving.set(member, next);
  }

  /** Nothing is open of those that are no longer part of the group. */
  private haveLeft(): void {
    const left = [...this.leaving];
    this.leaving.clear();
    const are = (next: Next): Member[] => left.filter(([, of]) => of === next).map(([member]) => member);
    for (const [member] of left) member.over();
    this.tryAgain(are('again'));
    this.parts.putBack(are('in turn').filter(({ isActive }) => isActive));
    this.parts.alone(are('alone').filter(({ isActive }) => isActive));
  }

  /**
   * They may have been refused because of a member that does not commit: they wait for one more group, then
   * run alone.
   */
  private tryAgain(members: readonly Member[]): void {
    const active = members.filter(({ isActive }) => isActive);
    const again = active.filter(({ wasPutBack }) => !wasPutBack);
    for (const member of again) member.wasPutBack = true;
    this.parts.alone(active.filter((member) => !again.includes(member)));
    this.parts.putBack(again);
  }

  /**
   * No member is refused anywhere. From the next call on, the outcome of each member is that of the group.
   */
  private prepare({ members: votes, trials }: RunVotes): void {
    const { group, members } = this;
    this.judgeTrials(trials);
    this.isPreparing = true;
    const named = members.map(({ transaction: { id, name } }) => ({ id, name }));
    group.needGroup().members = named;
    const note = { id: group.id, size: members.length, runs: this.runs };
    for (const [index, member] of members.entries()) {
      member.transaction.needGroup().note = note;
      this.parts.grouped(member.transaction, note, group);
      member.cast(votes[index]!);
    }
    group.recordsAll = this.parts.recordsAll;
    requestCommit(group, Decider.LOG, group.executor);
  }

  /** Each was tried behind the members of the group, and has seen the work of no other. */
  private judgeTrials(votes: readonly (readonly ReadVote[])[]): void {
    const { trials } = this;
    this.trials = [];
    for (const [index, member] of trials.entries()) {
      if (!member.isActive) continue;
      const own = votes[index]!;
      if (own.includes('alone')) this.parts.alone([member]);
      else if (own.some(isProblem)) this.refusals.push({ member, votes: own });
      else this.tryAgain([member]);
    }
  }

  /** Its members run on their own, as soon as no participant holds anything of the group. */
  private giveUp(reason: string): void {
    this.group.needExtras().abortReason = reason;
    requestRollback(this.group, Cause.ROLLED_BACK, this.group.executor);
  }

  committed(): void {
    if (this.isDecided) return;
    this.isDecided = true;
    for (const member of this.members) member.committed();
    for (const { member, votes } of this.refusals) if (member.isActive) member.refuse(votes);
  }

  aborted(): void {
    if (this.isDecided) return;
    this.isDecided = true;
    const { group, members, refusals, trials } = this;
    this.work.stop();
    this.aside.push(...refusals.map(({ member }) => member));
    if (!this.isPreparing) {
      if (this.hasMetOthers) this.waitInTurn();
      else this.aside.push(...members, ...trials);
      // Some of their work may be open as well until the group is rolled back.
      this.members = [...new Set([...members, ...trials, ...this.leaving.keys()])];
      return;
    }
    const reason = `its group ${group.id} could not be prepared: ${abortReason(group)}`;
    const isRunAgain = SAYS_NOTHING_OF_MEMBERS.has(group.cause);
    for (const member of members) member.groupAborted(reason, isRunAgain);
  }

  /** Those that have waited for other coordinators before run on their own. */
  private waitInTurn(): void {
    for (const member of this.members) {
      this.leaving.set(member, member.wasBusy ? 'alone' : 'in turn');
      member.wasBusy = true;
    }
  }

  ended(): void {
    if (this.group.state === State.COMMITTED) {
      this.committed();
      this.endMembers();
    } else {
      this.aborted();
      this.answered();
    }
  }

  /**
   * Nothing of an aborted group is left. Its members run again when no participant can still be working for
   * it.
   */
  answered(): void {
    const { group } = this;
    if (!this.isRolledBack) return;
    const isAsked = group.branches.some(
      ({ call, index }) => call === Call.PREPARE && includes(group.awaiting, index),
    );
    const reports = reportsOf(group.branches);
    for (const member of this.early) reportedLate(member, reports, this.parts.setAside);
    if (!isAsked) this.early = [];
    if (this.isOver) return;
    if (isAsked) this.lingers();
    else this.endMembers();
  }

  private get isRolledBack(): boolean {
    return this.group.state === State.ABORTED && this.group.open === Branches.NONE;
  }

  /**
   * Looks after the members of an aborted group that has come to no end: its rollback waits for recovery, or
   * a prepare has no answer yet and may never have one. For such an answer only members wait that are to run
   * again, and only as long as the answer to their callers is withheld.
   *
   * @returns whether to look again.
   */
  lingers(): boolean {
    if (this.isOver) return false;
    if (!this.isRolledBack) {
      // A prepare was answered late, and that branch is being rolled back. Its end, or its stall, is noticed
      // by itself.
      if (this.group.state === State.ABORTED && !this.group.isStalled) return true;
      this.waits();
      return this.members.some(({ isActive }) => isActive);
    }
    const over = this.members.filter((member) => !runsAgain(member));
    this.members = this.members.filter(runsAgain);
    for (const member of over) member.over(reportsOf(this.group.branches));
    this.early.push(...over.map(({ transaction }) => transaction).filter(({ endedAt }) => endedAt !== 0));
    if (this.members.length === 0) {
      this.endMembers();
      return false;
    }
    this.runAside();
    this.parts.linger(this);
    return true;
  }

  /** A branch of the group waits for recovery or for an operator. */
  waits(): void {
    if (!this.isDecided && !this.isPreparing) return;
    // Those that have yet to run on their own are under way as before.
    for (const member of this.members) if (!member.isActive) member.waits();
    // Each of them waits as well as soon as its caller or its deadline has ended it.
    if (this.members.some(({ isActive }) => isActive)) this.parts.linger(this);
  }

  patienceEnded(): void {
    for (const { isActive, transaction } of this.members) {
      if (!isActive) patienceEnded(transaction, transaction.executor);
    }
  }

  private endMembers(): void {
    if (this.isOver) return;
    this.isOver = true;
    const reports = reportsOf(this.group.branches);
    for (const member of this.members) member.over(reports);
    this.runAside();
    // The record of the group is kept for a while, and nothing of its members with it.
    this.members = [];
    this.trials = [];
    this.refusals = [];
  }

  private runAside(): void {
    const aside = this.aside.splice(0);
    this.haveLeft();
    this.parts.alone(aside.filter(({ isActive }) => isActive));
  }

  private note(): void {
    const { group, members, runs } = this;
    const note = { id: group.id, size: members.length, runs };
    Object.assign(group.needGroup(), { isGroup: true, note });
    this.parts.grouped(group, note);
  }
}

/** Whether the answer to its caller is withheld, because its request may run again. */
function runsAgain({ transaction }: Member): boolean {
  return transaction.extras?.isRunAgain === true;
}

function reportsOf(branches: readonly BranchRecord[]): ReadonlyMap<RegisteredParticipant, BranchHeuristic> {
  const reports = new Map<RegisteredParticipant, BranchHeuristic>();
  for (const { participant, heuristic } of branches) {
    if (heuristic !== undefined) reports.set(participant, heuristic);
  }
  return reports;
}

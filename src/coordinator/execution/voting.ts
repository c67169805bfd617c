import { type Answer, Expiring, Refused } from '../gate/answer.js';
import { type Failure, failureOf } from '../gate/failure.js';
import { GivenBranch } from '../participant/given-branch.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import {
  type BranchSet,
  Branches,
  State,
  Voted,
  deadlinePassed,
  includes,
  prepareTimedOut,
  vote,
} from '../protocol/index.js';
import { type AmbientTransactions, callParticipant, callToPrepare, refuseWhilePaused } from './call.js';
import { type Clock, NEVER, msOf } from './clock.js';
import { type Contention, InTurn } from './contention.js';
import type { Deadlines } from './deadlines.js';
import type { VoteExpiries } from './expiries.js';
import type { Observers, PrepareProblem } from './observer.js';
import { PreparePlaces } from './capacity/prepare-places.js';
import {
  type BranchRecord,
  Call,
  type Refusal,
  type TransactionRecord,
  callDueAt,
  calledToPrepareAt,
} from './records.js';
import { preparedSibling } from './siblings.js';
import { SilentParticipants } from './silent-participants.js';
import type { ServerLimits } from './capacity/server-limits.js';

interface VotingParts {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly ambient: AmbientTransactions;
  readonly observers: Observers;
  readonly contention: Contention;
  readonly limits: ServerLimits;
  readonly expiries: VoteExpiries;
}

/**
 * Phase one: asks the participants to prepare, all at once or in turn, and reads their answers. Only the
 * documented values count as a yes, and only in time.
 */
export class Voting {
  readonly silent: SilentParticipants;

  constructor(private readonly parts: VotingParts) {
    const { clock, observers, limits } = parts;
    this.silent = new SilentParticipants(clock, observers, () => limits.refuseSilent());
  }

  /**
   * Effect: asks all participants to prepare at once, or the first of those that prepare in turn, or those that
   * may not answer.
   */
  prepare(transaction: TransactionRecord): void {
    const { limits, contention, deadlines, ambient } = this.parts;
    if (ambient.isEntered) {
      ambient.leave(() => this.prepare(transaction));
      return;
    }
    const first = this.silent.isAny ? this.silent.askedFirst(transaction) : Branches.NONE;
    if (first !== Branches.NONE) {
      this.askFirst(transaction, first);
      return;
    }
    const { extras } = transaction;
    if (extras !== undefined) limits.keep(transaction);
    if (extras?.inTurn || (contention.isLikely && contention.calls(transaction))) {
      this.askInTurn(transaction);
      return;
    }
    if (extras !== undefined) limits.putToWork(transaction);
    deadlines.armIn(transaction, msOf(transaction.preparingUs) + transaction.shortestTimeoutMs);
    const { epochMs } = this.parts.clock;
    const { preparingAt, deadlineAt } = transaction;
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      // A participant may end its own transaction while it is being called.
      if (transaction.state !== State.PREPARING) return;
      // A last resource cannot prepare.
      if (branch.index === transaction.decider) continue;
      const { participant } = branch;
      participant.places?.take(branch);
      if (this.mayCall(branch)) {
        const dueAt = epochMs + participant.prepareDueAt(preparingAt, deadlineAt);
        const deadline = participant.prepareDeadline.at(dueAt);
        callToPrepare(branch, new GivenBranch(branch, deadline), ambient);
      }
    }
  }

  /** Asks these at once. What the others would do is in vain if they do not answer. */
  private askFirst(transaction: TransactionRecord, first: BranchSet): void {
    const extras = transaction.needExtras();
    extras.askedFirst = first;
    extras.turns = new InTurn(transaction, first);
    this.parts.limits.keep(transaction);
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      if (includes(first, branch.index)) this.request(branch);
    }
  }

  /** Those that were asked first have voted. */
  private askOthers(transaction: TransactionRecord): void {
    const { contention, limits } = this.parts;
    const extras = transaction.extras!;
    extras.askedFirst = Branches.NONE;
    limits.keep(transaction);
    if (contention.isLikely && contention.calls(transaction)) this.takeTurn(transaction);
    else
      for (let branch = extras.turns!.next(); branch !== undefined; branch = extras.turns!.next())
        this.request(branch);
  }

  private askInTurn(transaction: TransactionRecord): void {
    transaction.needExtras().turns = new InTurn(transaction);
    this.takeTurn(transaction);
  }

  /** Effect: the abort is decided, so no participant works for the voting of this transaction any more. */
  cancel(transaction: TransactionRecord): void {
    transaction.abortPrepares();
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      branch.participant.places?.release(branch);
    }
    this.parts.limits.keep(transaction);
  }

  /** A participant voted commit, as nearly all do. */
  votedCommit(branch: BranchRecord, now: number): void {
    const { participant, transaction } = branch;
    if (participant.places !== undefined || transaction.state !== State.PREPARING) {
      this.answered(branch, 'commit');
      return;
    }
    branch.votedUs = transaction.elapsedUs(now);
    this.parts.observers.voted(branch, Voted.COMMIT);
    vote(transaction, branch.index, Voted.COMMIT, transaction.executor);
    if (transaction.extras !== undefined) this.prepared(branch);
  }

  /** Prepare was answered. */
  answered(branch: BranchRecord, answer: Answer): void {
    if (answer === 'commit') this.count(branch, Voted.COMMIT);
    else if (answer === 'read-only') this.count(branch, Voted.READ_ONLY);
    else if (answer instanceof Expiring) this.votedFor(branch, answer.validForMs);
    else if (answer instanceof Refused) {
      const { code, reason, conflict, overloaded, temporary } = answer;
      if (overloaded) branch.participant.server?.lower(this.parts.clock.now());
      else if (!conflict) branch.participant.places?.gotThrough();
      const refusal = { code, reason, error: undefined, conflict, temporary };
      this.noYes(branch, Voted.ABORT, withSibling(branch, refusal), false);
    } else {
      const error = new Error(`answered prepare with ${answer.description}, which is not a vote`);
      this.threw(branch, failureOf(error));
    }
    this.prepared(branch);
  }

  /** Prepare threw an error, which proves nothing about its effect. */
  failed(branch: BranchRecord, failure: Failure): void {
    this.threw(branch, failure);
    this.prepared(branch);
  }

  /** Gives up the prepares whose time is up, and the transaction when its own time is. */
  examine(transaction: TransactionRecord, now: number): void {
    if (transaction.state === State.PREPARING) {
      const late = transaction.branches.find((branch) => isAsked(branch) && callDueAt(branch) <= now);
      if (late !== undefined) {
        this.noteLateness(transaction, now);
        prepareTimedOut(transaction, late.index, transaction.executor);
      }
    }
    if (transaction.decidedAt === 0 && transaction.deadlineAt <= now) {
      deadlinePassed(transaction, transaction.executor);
    }
  }

  /** @returns when the time of a prepare is up. */
  dueAt(transaction: TransactionRecord): number {
    let dueAt = NEVER;
    if (transaction.state !== State.PREPARING) return dueAt;
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      if (isAsked(branch)) dueAt = Math.min(dueAt, callDueAt(branch));
    }
    return dueAt;
  }

  /**
   * Limits the number of branches that are asked in turn at one participant before one of them has answered.
   */
  limit(participant: RegisteredParticipant, places: number): void {
    const { clock, contention } = this.parts;
    const ask = (branch: BranchRecord): void => {
      participant.places?.take(branch);
      this.ask(branch);
    };
    const isContended = (): boolean => contention.isContended(participant);
    contention.isLimited = true;
    participant.places = new PreparePlaces(places, clock, ask, isContended);
  }

  /** Asks the next participant to prepare, unless the transaction is decided by now. */
  private takeTurn(transaction: TransactionRecord): void {
    if (transaction.state !== State.PREPARING) return;
    const { askedFirst, turns } = transaction.extras!;
    if (askedFirst === Branches.NONE) {
      const branch = turns!.next();
      if (branch !== undefined) this.request(branch);
    } else if ((transaction.awaiting & askedFirst) === Branches.NONE) this.askOthers(transaction);
  }

  /** Asks it now, or when its participant has a place. */
  private request(branch: BranchRecord): void {
    // A participant may end its own transaction while it is being called.
    if (branch.transaction.state !== State.PREPARING) return;
    const { places } = branch.participant;
    if (places === undefined) this.ask(branch);
    else places.request(branch);
  }

  /** It is the turn of this branch. */
  private ask(branch: BranchRecord): void {
    const { transaction, participant } = branch;
    const { clock, deadlines, limits } = this.parts;
    if (participant.server !== undefined) limits.putToWork(transaction);
    const now = clock.now();
    transaction.extras?.turns?.asks(branch, now);
    deadlines.arm(transaction, now + participant.options.prepareTimeoutMs);
    if (this.mayCall(branch)) {
      const { fulfilled, rejected } = branch;
      callParticipant(participant, 'prepare', branch, transaction, this.parts.ambient, fulfilled, rejected);
    }
  }

  /** It is asked to prepare. @returns false if its participant is paused, so that it is answered for. */
  private mayCall(branch: BranchRecord): boolean {
    const { participant } = branch;
    branch.call = Call.PREPARE;
    participant.silence.asks++;
    if (participant.silence.isLikely) participant.silence.asked(this.parts.clock.now());
    if (participant.paused === undefined) return true;
    refuseWhilePaused(branch);
    return false;
  }

  /** A participant voted commit for a limited time, which may be over before the vote is here. */
  private votedFor(branch: BranchRecord, validForMs: number): void {
    const { transaction } = branch;
    const { expiries, clock } = this.parts;
    const now = clock.now();
    if (transaction.state === State.PREPARING) {
      expiries.voted(branch, validForMs);
      branch.votedUs = transaction.elapsedUs(now);
      if (expiries.abortIfOver(branch, now)) return;
    }
    this.count(branch, Voted.COMMIT);
  }

  private threw(branch: BranchRecord, { message, thrown, isCancellation }: Failure): void {
    this.noYes(branch, Voted.NONE, { code: undefined, reason: message, error: thrown }, isCancellation);
  }

  /**
   * A refusal, an error or an invalid answer. While the voting runs, it is the cause of the abort. Afterwards
   * it changes nothing, but is still shown: a problem at a participant does not depend on which of several
   * failed first.
   */
  private noYes(
    branch: BranchRecord,
    answer: Voted.ABORT | Voted.NONE,
    refusal: Refusal,
    isCancellation: boolean,
  ): void {
    const { transaction, participant } = branch;
    const cause = answer === Voted.NONE ? 'failed' : 'refused';
    if (refusal.conflict) {
      this.parts.contention.conflicted(participant);
      participant.places?.conflicted();
    }
    if (transaction.state === State.PREPARING) {
      branch.refusal = refusal;
      this.parts.observers.prepareFailed(branch, cause, refusal.reason);
    }
    this.count(branch, answer, { cause, message: refusal.reason, code: refusal.code, isCancellation });
    // The caller has it by now. It may hold anything, and the record of the transaction is kept for a while.
    refusal.error = undefined;
  }

  private count(branch: BranchRecord, answer: Voted, problem?: PrepareProblem): void {
    const { transaction } = branch;
    if (answer === Voted.COMMIT || answer === Voted.READ_ONLY) branch.participant.places?.gotThrough();
    branch.votedUs = transaction.elapsedUs(this.parts.clock.now());
    if (transaction.state !== State.PREPARING) this.lateAnswer(branch, answer, problem);
    else if (answer === Voted.COMMIT || answer === Voted.READ_ONLY)
      this.parts.observers.voted(branch, answer);
    vote(transaction, branch.index, answer, transaction.executor);
  }

  private lateAnswer(branch: BranchRecord, answer: Voted, problem?: PrepareProblem): void {
    const { transaction, index } = branch;
    // The cause of the abort stays as the caller was told.
    if (
      problem?.isCancellation === false &&
      branch.refusal === undefined &&
      index !== transaction.causeBranch
    ) {
      branch.refusal = { code: problem.code, reason: problem.message, error: undefined };
    }
    this.parts.observers.lateAnswer(branch, answer, problem);
    const holdsNothing = answer === Voted.ABORT || answer === Voted.READ_ONLY;
    if (holdsNothing && includes(transaction.open, index)) branch.close(this.parts.clock.now());
  }

  /** An answer to prepare, of any kind, was handled. */
  private prepared(branch: BranchRecord): void {
    const { participant, transaction } = branch;
    participant.places?.release(branch);
    const { extras } = transaction;
    if (extras === undefined) return;
    if (extras.shares !== undefined) this.parts.limits.keep(transaction);
    if (extras.turns !== undefined) this.takeTurn(transaction);
  }

  /** Every branch without an answer when the first is given up. */
  private noteLateness(transaction: TransactionRecord, now: number): void {
    const late = new Set<RegisteredParticipant>();
    for (const branch of transaction.branches) {
      if (!isAsked(branch) || callDueAt(branch) > now) continue;
      const { participant } = branch;
      if (participant.isOne && !late.has(participant)) {
        late.add(participant);
        participant.silence.miss(now, calledToPrepareAt(branch), participant.options.prepareTimeoutMs);
        if (participant.silence.isLikely) this.silent.look(participant);
      }
      const waitedMs = Math.round(callDueAt(branch) - calledToPrepareAt(branch));
      const message = `${participant.name} did not answer prepare within ${waitedMs} ms`;
      branch.refusal = { code: undefined, reason: message, error: undefined };
      this.parts.observers.prepareUnanswered(branch, waitedMs);
      this.parts.observers.prepareFailed(branch, 'timed-out', message);
      transaction.extras?.group?.occupation?.timedOut(transaction, branch.index);
    }
  }
}

/** Whether its answer to prepare is missing. In turn, the later branches have not been asked yet. */
function isAsked({ transaction, index, call }: BranchRecord): boolean {
  return includes(transaction.awaiting, index) && call !== Call.NONE;
}

/**
 * The branch may have waited for something that its own transaction holds, which no lock time-out can
 * resolve.
 */
function withSibling(branch: BranchRecord, refusal: Refusal): Refusal {
  const sibling = refusal.conflict ? preparedSibling(branch) : undefined;
  if (sibling === undefined) return refusal;
  const reason =
    `${refusal.reason}; the branch "${sibling.branchId}" of the same transaction is prepared there and may hold what ` +
    'it waited for: let one branch do the work of both';
  return { ...refusal, reason };
}

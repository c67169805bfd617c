import type { BranchRecord, TransactionRecord } from '../../src/coordinator/execution/records.js';
import { EXPIRY_MARGIN_MS } from './settings.js';
import {
  type CommitRecord,
  type KnownOutcome,
  type Outcome,
  branchKey,
} from '../../src/coordinator/index.js';
import { State, isDecidedByBranch } from '../../src/coordinator/protocol/index.js';
import type { Entry } from './account.js';
import { CaseFile, type Decision } from './case-file.js';
import type { Method } from './message.js';
import type { Transcript } from './transcript.js';
import type { Witnesses } from './witnesses.js';

/**
 * Knows everything, and watches every step: what was decided, what is in the log, what was done and what was
 * said. A violation is noticed at the step that commits it and not when its consequences show.
 */
export class Judge {
  readonly cases = new Map<string, CaseFile>();
  readonly violations: string[] = [];
  private readonly committedByKey = new Map<string, string>();

  constructor(
    private readonly transcript: Transcript,
    private readonly witnesses: Witnesses,
    /** Whether several members share the log. */
    private readonly isShared = false,
  ) {}

  violate(what: string): void {
    this.violations.push(what);
    this.transcript.say('VIOLATION', what);
  }

  caseOf(transactionId: string): CaseFile {
    let file = this.cases.get(transactionId);
    if (file === undefined) {
      file = new CaseFile(transactionId);
      this.cases.set(transactionId, file);
    }
    return file;
  }

  /** A coordinator moved a transaction on. */
  entered(transaction: TransactionRecord, now: number): void {
    const { state, id, extras } = transaction;
    if (extras?.requestKey !== undefined) this.caseOf(id).key = extras.requestKey.key;
    if (state === State.READY) {
      if (isDecidedByBranch(transaction)) this.caseOf(id).onePhase = true;
      const decider = transaction.branches[transaction.decider];
      if (decider?.participant.isLastResource === true) {
        this.witnesses.count('last resource is to decide');
        this.caseOf(id).decider = branchKey(decider);
      }
      if (isDecidedByBranch(transaction)) return;
      if (now > transaction.deadlineAt) this.violate(`${id}: the votes were counted after the deadline`);
    } else if (state === State.COMMITTING) {
      this.commitDecided(transaction);
    } else if (state === State.ABORTING) {
      this.abortDecided(id);
    }
  }

  /** AC3, and the rule that the record comes before the decision. */
  private commitDecided(transaction: TransactionRecord): void {
    const { id, yes } = transaction;
    const isOnePhase = isDecidedByBranch(transaction);
    const file = this.caseOf(id);
    // The answer of a log that is gone was on its way.
    if (file.isLost) file.recorded = file.logged = true;
    file.isHeard = file.isDecidedByOwner = true;
    this.decide(file, 'commit');
    if (!isOnePhase && yes !== 0 && !file.recorded) this.violate(`${id}: commit is decided without a record`);
    if (this.isShared && !file.logged)
      this.violate(`${id}: commit is decided, and the log knows nothing of it`);
    if (isOnePhase && file.decider === undefined) return;
    for (let branch = transaction.firstBranch; branch !== undefined; branch = branch.next) {
      const key = branchKey(branch);
      const entry = file.entries.get(key);
      if (key === file.decider) {
        if (entry?.state !== 'committed' && file.decision !== 'commit')
          this.violate(`${id}: commit is decided, but ${branch.branchId} has not committed`);
      } else if (entry?.vote === undefined)
        this.violate(`${id}: commit is decided, but ${branch.branchId} never voted for it`);
    }
  }

  /** By its coordinator, or by presumption over an orphan. */
  abortDecided(transactionId: string): void {
    const file = this.caseOf(transactionId);
    this.decide(file, 'abort');
    if (file.recorded) this.violate(`${transactionId}: abort is decided over a commit record`);
  }

  /** AC2. */
  private decide(file: CaseFile, decision: Decision): void {
    if (file.decision !== undefined && file.decision !== decision)
      this.violate(`${file.id}: the decision was ${file.decision} and is now ${decision}`);
    if (decision === 'commit' && file.decision === undefined) this.committedOnce(file);
    file.decision = decision;
  }

  /** Of all transactions whose requests have the same key one commits at most. */
  private committedOnce({ id, key }: CaseFile): void {
    if (key === undefined) return;
    const other = this.committedByKey.get(key);
    if (other !== undefined)
      this.violate(`${id}: commit is decided, and so it was for ${other} with the same key`);
    this.committedByKey.set(key, id);
  }

  /** A commit record became durable. */
  recorded(transactionId: string, members: readonly { readonly id: string }[] = []): void {
    const file = this.caseOf(transactionId);
    file.members = members.map(({ id }) => id);
    for (const { id } of members) {
      this.caseOf(id).group = transactionId;
      this.recorded(id);
    }
    file.recorded = true;
    file.logged = true;
    if (file.decision === 'abort') this.violate(`${transactionId}: a record lands after abort was decided`);
  }

  /**
   * A shared log has the outcome of a commit that changes nothing, or the name of the branch that decides.
   */
  noted(transactionId: string, isOutcome: boolean): void {
    const file = this.caseOf(transactionId);
    file.logged = true;
    if (isOutcome) this.decide(file, 'commit');
  }

  /**
   * The log has lost what it had of a transaction. If no member and no caller has heard of it, it counts as
   * never written.
   */
  lost(transactionId: string): void {
    const file = this.caseOf(transactionId);
    for (const id of file.members) this.lost(id);
    file.isLost = true;
    if (file.isHeard) return;
    file.recorded = file.logged = false;
    // The outcome of a commit that changes nothing is decided when the log has it.
    if (file.decision === 'commit') file.decision = undefined;
    if (file.key !== undefined && this.committedByKey.get(file.key) === transactionId)
      this.committedByKey.delete(file.key);
  }

  /** The log can never keep the record. */
  refused(transactionId: string): void {
    this.caseOf(transactionId).refused = true;
  }

  /** The commit record is dropped (fault 47). */
  recordEnded({ id }: CommitRecord): void {
    for (const one of [id, ...this.caseOf(id).members]) {
      for (const entry of this.caseOf(one).entries.values()) {
        if (entry.state === 'prepared')
          this.violate(`${id}: its record is dropped, but ${entry.key} has not committed`);
      }
    }
  }

  /**
   * A participant has done the work of a member. If it was refused, it has perhaps seen the work of those
   * before it.
   */
  worked(participant: string, transactionId: string, refusedBehind: readonly string[]): void {
    this.caseOf(transactionId).refusedBehind.set(participant, refusedBehind);
  }

  /** A transaction is about to run on its own. */
  runsAlone(transactionId: string): void {
    const refusedBehind = this.cases.get(transactionId)?.refusedBehind;
    if (refusedBehind === undefined) return;
    if (refusedBehind.size > 0) this.witnesses.count('member runs again on its own');
    refusedBehind.clear();
  }

  /** A decision is sent to the log. @param now in virtual time. */
  sentToLog(transactionId: string, now: number): void {
    for (const { key, vote, validUntil } of this.caseOf(transactionId).entries.values()) {
      if (vote === 'commit' && validUntil !== undefined && now > validUntil - EXPIRY_MARGIN_MS)
        this.violate(`${key}: commit is sent to the log although the vote has expired`);
    }
  }

  /**
   * A message leaves a coordinator (rule 1).
   *
   * @param now in virtual time.
   */
  sent(method: Method, transactionId: string, now: number): void {
    if (method === 'commitLast') this.sentToLast(transactionId, now);
    if (method === 'commit' && !this.caseOf(transactionId).recorded)
      this.violate(`${transactionId}: a commit call leaves before the record is durable`);
    const { logged, isLost } = this.caseOf(transactionId);
    if (method === 'commitOnePhase' && this.isShared && !logged && !isLost)
      this.violate(`${transactionId}: a branch is asked to decide before the log names it`);
  }

  /** A last resource is called when the log names it, and while the others can still commit. */
  private sentToLast(transactionId: string, now: number): void {
    const { logged, isLost, entries, decider } = this.caseOf(transactionId);
    if (!logged && !isLost)
      this.violate(`${transactionId}: a last resource is called before the log names it`);
    for (const { key, vote, validUntil } of entries.values()) {
      if (key === decider) continue;
      if (vote === undefined)
        this.violate(`${transactionId}: a last resource is called before ${key} has voted`);
      if (vote === 'commit' && validUntil !== undefined && now > validUntil - EXPIRY_MARGIN_MS)
        this.violate(`${key}: a last resource is called although the vote has expired`);
    }
  }

  /** A message reaches a participant (fault 45). */
  received(method: Method, transactionId: string, entry: Entry | undefined): void {
    if (entry?.heuristic !== undefined) return;
    const state = entry?.state ?? 'none';
    if (method === 'commit' && state !== 'prepared' && state !== 'committed')
      this.violate(`${transactionId}: commit reaches a participant that is ${state}`);
    if (method === 'rollback' && (state === 'committed' || this.caseOf(transactionId).recorded))
      this.violate(`${transactionId}: rollback reaches a participant that is ${state}, of a recorded commit`);
  }

  /** A branch ended for good: AC1, at once. */
  ended(entry: Entry, owner: string): void {
    if (entry.heuristic !== undefined) return;
    const file = this.caseOf(entry.transactionId);
    const decision: Decision = entry.state === 'committed' ? 'commit' : 'abort';
    file.isHeard ||= decision === 'commit';
    const isDecider = file.decider === undefined || entry.key === file.decider;
    // A person who ends it by hand after the log has lost it knows how the last resource has ended.
    const isByHand = file.isLost && file.decision === 'commit';
    if (file.onePhase && isDecider) this.decide(file, decision);
    else if (decision === 'commit' && !file.recorded && !isByHand)
      this.violate(`${entry.key}: ${owner} has committed without a decision`);
    else if (decision === 'abort' && file.recorded)
      this.violate(`${entry.key}: ${owner} has undone a committed branch`);
    if (file.decision !== undefined && file.decision !== decision)
      this.violate(`${entry.key}: ${owner} ended with ${decision}, against the decision`);
  }

  /** A caller was told: it must be true now, and what is checked at every later step keeps it true. */
  told(outcome: Outcome): void {
    const { status, transactionId } = outcome;
    const file = this.caseOf(transactionId);
    this.witnesses.count(`told ${status}`);
    if (status === 'aborted' && outcome.cause === 'expired') this.witnesses.count('told that a vote expired');
    if (file.told !== undefined && file.told !== status && file.told !== 'pending')
      this.violate(`${transactionId}: told ${status} after ${file.told}`);
    file.told = status;
    if (status === 'committed') this.toldCommitted(file);
    else if (status === 'aborted' && this.isUntrueRefusal(outcome)) return;
    else if (status === 'aborted' && file.decision !== 'abort')
      this.violate(`${transactionId}: told aborted, but the decision is ${file.decision}`);
    else if (status === 'pending' && outcome.decision === 'commit' && file.decision !== 'commit')
      this.violate(`${transactionId}: told that commit is decided, but it is ${file.decision}`);
    else if (status === 'heuristic' && !file.isHeuristic)
      this.violate(`${transactionId}: told of a heuristic end that no participant had`);
    else if (status === 'heuristic' && outcome.decision !== file.decision)
      this.violate(`${transactionId}: told that ${outcome.decision} is decided, but it is ${file.decision}`);
  }

  /** The refusal of a member is true in no serial order if it depends on work that did not commit. */
  private isUntrueRefusal(outcome: Outcome & { readonly status: 'aborted' }): boolean {
    const { transactionId, cause, participant = '' } = outcome;
    if (cause !== 'refused' && cause !== 'failed') return false;
    const seen = this.caseOf(transactionId).refusedBehind.get(participant) ?? [];
    if (seen.length > 0) this.witnesses.count('member refused for good behind others');
    const culprit = seen.find((id) => this.caseOf(id).decision !== 'commit');
    if (culprit !== undefined)
      this.violate(
        `${transactionId}: told that ${participant} has refused, behind ${culprit} without a commit`,
      );
    return culprit !== undefined;
  }

  /** A caller has asked a member, whichever that is: what it heard holds from now on. */
  asked(member: string, { transactionId, status }: KnownOutcome): void {
    this.witnesses.count(`asked: ${status}`);
    const file = this.caseOf(transactionId);
    if (status === 'committed') {
      if (file.decision !== 'commit' && !file.recorded)
        this.violate(`${transactionId}: ${member} says committed, but the decision is ${file.decision}`);
      file.isHeard = true;
      this.decide(file, 'commit');
    } else if (status === 'aborted') {
      if (file.recorded) this.violate(`${transactionId}: ${member} says aborted, and its commit is recorded`);
      this.decide(file, 'abort');
    }
  }

  /**
   * A request whose key an earlier request has. Its outcome may be pending, as far as is known at that
   * member.
   */
  repeated(member: string, outcome: Outcome): void {
    const { transactionId, status } = outcome;
    this.witnesses.count(`repeated: ${status}`);
    const decision = status === 'heuristic' || status === 'pending' ? outcome.decision : status;
    if (decision === 'commit' || decision === 'committed')
      this.asked(member, { transactionId, status: 'committed' });
    else if (decision === 'abort' || decision === 'aborted')
      this.asked(member, { transactionId, status: 'aborted' });
  }

  /** AC4: a caller was told in a world without failures and cancellations. */
  toldInCalm(outcome: Outcome): void {
    const isForWant = outcome.status === 'aborted' && outcome.cause === 'refused';
    if (outcome.status !== 'committed' && !isForWant)
      this.violate(`${outcome.transactionId}: told ${outcome.status}, though nothing has failed`);
  }

  private toldCommitted(file: CaseFile): void {
    if (file.entries.size > 0 && file.decision !== 'commit')
      this.violate(`${file.id}: told committed, but the decision is ${file.decision}`);
    for (const { key, state } of file.entries.values()) {
      if (state !== 'committed' && state !== 'read-only')
        this.violate(`${file.id}: told committed, but ${key} is ${state}`);
    }
  }

  /** A coordinator presumes abort of a prepared branch. */
  orphan({ transactionId }: BranchRecord): void {
    this.witnesses.count('orphan rolled back');
    this.abortDecided(transactionId);
  }
}

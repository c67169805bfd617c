import type { BranchRecord, TransactionRecord } from '../../src/coordinator/execution/records.js';
import { messageOf } from '../../src/coordinator/gate/texts.js';
import type { TransactionObserver } from '../../src/coordinator/execution/observer.js';
import type { Outcome } from '../../src/coordinator/index.js';
import type { RegisteredParticipant } from '../../src/coordinator/participant/registered-participant.js';
import { Cause, State } from '../../src/coordinator/protocol/index.js';
import { Narrator } from '../golden/narrator.js';
import type { CoordinatorProcess } from './process.js';
import type { World } from './world.js';

/** The reason that an operator gives who says how a branch has ended. */
export const BY_HAND = 'looked it up';

/** Looks on at one coordinator: for the judge, for the witnesses, and for the transcript. */
export class Watcher implements TransactionObserver {
  private readonly narrator: Narrator | undefined;
  /** Whom the narrator speaks of. */
  private subject = '';

  constructor(
    private readonly world: World,
    private readonly process: CoordinatorProcess,
    private readonly now: () => number,
  ) {
    if (!world.transcript.isOn) return;
    this.narrator = new Narrator((who, what) => world.say(process.label, `${this.subject}: ${who} ${what}`));
  }

  entered(transaction: TransactionRecord, from: number): void {
    if (!this.process.isAlive) return;
    this.of(transaction)?.entered(transaction, from);
    this.world.judge.entered(transaction, this.now());
    this.countGroup(transaction);
    const isDecided = transaction.state === State.COMMITTING || transaction.state === State.ABORTING;
    if (isDecided && this.process.undecidable.has(transaction.id))
      this.world.judge.violate(
        `${transaction.id}: it is decided while the log is broken, which may have its record`,
      );
    this.process.mayFail();
  }

  prepareFailed(branch: BranchRecord, cause: string, message: string): void {
    this.of(branch.transaction)?.prepareFailed(branch, cause, message);
    if (cause === 'timed-out') this.count('vote timed out');
  }

  lateAnswer(branch: BranchRecord): void {
    this.of(branch.transaction)?.lateAnswer(branch);
    this.count('late answer');
  }

  attemptFailed(branch: BranchRecord, message: string, retryInMs: number | undefined): void {
    this.of(branch.transaction)?.attemptFailed(branch, message, retryInMs);
    this.count('completion attempt failed');
  }

  stalled(branch: BranchRecord): void {
    this.of(branch.transaction)?.stalled(branch);
    this.count('branch stalled');
  }

  heuristic(branch: BranchRecord): void {
    this.of(branch.transaction)?.heuristic(branch);
    this.count('heuristic report');
    const isByHand = branch.heuristic?.reason === BY_HAND;
    if (!isByHand && !this.world.judge.caseOf(branch.transactionId).isHeuristic)
      this.defect(new Error('a report of what no participant did'), branch.transactionId);
  }

  recordUnknown(transaction: TransactionRecord, message: string): void {
    this.of(transaction)?.recordUnknown(transaction, message);
    this.count('record unknown');
  }

  fenced(): void {
    this.narrator?.fenced();
    this.count('coordinator fenced');
  }

  notNoted(transaction: TransactionRecord, message: string): void {
    this.of(transaction)?.notNoted(transaction, message);
    this.count('note not written');
  }

  orphan(branch: BranchRecord): void {
    if (!this.process.isAlive) return;
    this.of(branch.transaction)?.orphan(branch);
    this.world.judge.orphan(branch);
  }

  scanFailed(participant: RegisteredParticipant, message: string): void {
    this.subject = 'recovery';
    this.narrator?.scanFailed(participant, message);
    this.count('scan failed');
  }

  /**
   * The log is durable, so that only a coordinator that has been replaced can see branches that it knows
   * nothing of.
   */
  undecidable(): void {
    this.count('branch of a later epoch seen');
  }

  told(transaction: TransactionRecord, outcome: Outcome): void {
    if (outcome.status === 'aborted') this.count(`abort: ${outcome.cause}`);
    if (transaction.told === 0) this.defect(new Error('told, but not remembered'), transaction.id);
  }

  ended(): void {
    this.count('transaction ended');
  }

  defect(error: unknown, where: string): void {
    this.world.judge.violate(`${this.process.label} reports a defect at ${where}: ${messageOf(error)}`);
  }

  private countGroup({ state, extras, isMember, cause }: TransactionRecord): void {
    if (extras?.group?.isGroup === true) {
      if (state === State.COMMITTING) this.count('group committed');
      else if (state === State.ABORTING) this.count('group aborted');
    } else if (isMember && state === State.ABORTING) {
      if (cause === Cause.CANCELLED) this.count('member cancelled');
      else if (cause === Cause.TIMED_OUT) this.count('member timed out');
    }
  }

  private of(transaction: TransactionRecord): Narrator | undefined {
    this.subject = transaction.id;
    return this.narrator;
  }

  private count(what: string): void {
    this.world.witnesses.count(what);
  }
}

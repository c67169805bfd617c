import type { BranchRecord } from './branch-record.js';
import type { Outcome } from '../outcome.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { StateNumber } from '../protocol/index.js';
import type { TransactionRecord } from './transaction-record.js';

/** An answer to prepare that is no yes. */
export interface PrepareProblem {
  readonly cause: 'refused' | 'failed';
  readonly message: string;
  /** Of a refusal. */
  readonly code: string | undefined;
  /** Whether it only says that the work was stopped because its signal was aborted. */
  readonly isCancellation: boolean;
}

/**
 * Who looks on. The executor tells what has happened, after the fact; nothing an observer does, and nothing it
 * throws, changes a transaction.
 */
export interface TransactionObserver {
  /** A step of the state machine. Called several times for every transaction, so it must be cheap. */
  entered(transaction: TransactionRecord, from: StateNumber): void;
  /** The abort was caused by this branch: it refused, failed or was late. */
  prepareFailed(branch: BranchRecord, cause: 'refused' | 'failed' | 'timed-out', message: string): void;
  /** An answer to prepare came after the abort. `problem` says what was wrong with it, when it was no yes. */
  lateAnswer(branch: BranchRecord, problem: PrepareProblem | undefined): void;
  /** An attempt to complete failed. `retryInMs` is undefined when it was the last before the branch stalls. */
  attemptFailed(branch: BranchRecord, message: string, retryInMs: number | undefined): void;
  stalled(branch: BranchRecord, message: string): void;
  heuristic(branch: BranchRecord): void;
  /** Whether the decision is in the log cannot be told now. */
  recordUnknown(transaction: TransactionRecord, message: string): void;
  /** Another coordinator has claimed the log: this one decides nothing more. Called once. */
  fenced(): void;
  /** Something could not be noted in the log: after the next start what was done is done once more. */
  notNoted(transaction: TransactionRecord, message: string): void;
  /** A branch of an earlier epoch is prepared and has no decision: it is rolled back. */
  orphan(branch: BranchRecord): void;
  /** A participant could not list its prepared branches. */
  scanFailed(participant: RegisteredParticipant, message: string): void;
  /** Branches of earlier epochs are prepared, and the log does not outlive an epoch: nobody knows what was decided. */
  undecidable(participant: RegisteredParticipant, branches: number): void;
  /** A complete list of a participant was looked at: what it has that this coordinator cannot decide. */
  undecided?(participant: RegisteredParticipant, branches: UndecidedBranches): void;
  /** None of its branches is undecidable any more. */
  decidable?(participant: RegisteredParticipant): void;
  /** A pass of the recovery job is over: what was stalled when it began has been tried once. */
  recoveryPassed?(): void;
  /** Every hook of the application's start has run, so that its listeners are there. */
  applicationStarted?(): void;
  /** The caller was told. `committed` is not reported here: it is the same moment as the end. */
  told(transaction: TransactionRecord, outcome: Outcome): void;
  /** The transaction is over. Called once. */
  ended(transaction: TransactionRecord): void;
  /** A defect: something threw where nothing may. */
  defect(error: unknown, where: string): void;
}

/**
 * Why a coordinator cannot decide a prepared branch: it is of an earlier run whose log was not durable, of a later run of this
 * very log, of another log of the same name, of another coordinator, or its id is none that a coordinator makes.
 *
 * @publicApi
 */
export type UndecidedReason = 'earlier-run' | 'later-run' | 'other-log' | 'other-coordinator' | 'malformed';

/** A prepared branch that this coordinator cannot decide, and leaves alone. */
export interface UndecidedBranch {
  /** As the participant lists them; null where it is no text. */
  readonly transactionId: string | null;
  readonly branchId: string | null;
  readonly reason: UndecidedReason;
  /** When a complete list had it first, on the coordinator's clock. */
  readonly since: number;
}

/** What one participant has prepared that this coordinator cannot decide. */
export interface UndecidedBranches {
  /** How many are of this coordinator's name. */
  readonly undecidable: number;
  /** How many are of other coordinators, or of none, and stay. */
  readonly foreign: number;
  /** The oldest of both. */
  readonly oldest: readonly UndecidedBranch[];
}

import type { HeuristicKind } from '../protocol/index.js';

/**
 * A run of a coordinator, from its start to its end.
 *
 * @publicApi
 */
export interface CoordinatorRun {
  /** The name of the coordinator. */
  readonly name: string;
  /** The id of its decision log: the same in every run with this log, and in every copy of it. */
  readonly logId: string;
  /** The number of this start of the log, from 1. */
  readonly epoch: number;
  /** Random, and of this run alone: a copy of the log, or one that was restored, gives out the same epoch with another. */
  readonly token: string;
  /** Whether the log outlives the run. Only then is a branch without a decision an orphan, and rolled back. */
  readonly durable: boolean;
  /**
   * Whether the coordinator may still call branches of a transaction: it goes on, is stalled, waits for a paused participant, or holds a
   * report. A participant keeps what it remembers of such a branch, however old. It is true of every transaction while the
   * coordinator has not taken up what earlier runs have left behind. Not there in a run that was made by hand.
   */
  readonly isUnsettled?: (transactionId: string) => boolean;
}

/**
 * Asks the decision log of a run whether it has given out an epoch together with a token.
 *
 * @returns a promise that rejects when it cannot be found out now. Then the claim is to fail.
 * @publicApi
 */
export type IsOwnRun = (epoch: number, token: string) => Promise<boolean>;

/**
 * One participant's part of one transaction, as it is handed to each of the participant's methods.
 *
 * @typeParam P the payload: what the participant is asked to do.
 * @publicApi
 */
export interface Branch<P = unknown> {
  /** The transaction, the same for all its branches. */
  readonly transactionId: string;
  /** The branch within its transaction: the participant's name, unless the caller chose another. */
  readonly branchId: string;
  /** What the caller asks of this participant. Where no record of it is left, what `recover` lists. */
  readonly payload: P;
  /** When the coordinator stops waiting for this call, in milliseconds since the epoch. */
  readonly deadline: number;
  /** Aborted when nobody waits for this call any more: stop the work and free what it holds. */
  readonly signal: AbortSignal;
  /** Which delivery of the decision this is, from 1; 0 in prepare. */
  readonly attempt: number;
  /** The run of the coordinator that makes this call. The transaction may have been begun by an earlier run of its log. */
  readonly run: CoordinatorRun;
}

/**
 * What a participant files the work of a branch under. Neither id will do alone: a transaction may have several
 * branches of one participant, and branches of different transactions bear the same name.
 *
 * @throws TypeError when the branch has no ids, because it is a copy made by spreading: `{ ...branch }`.
 * @publicApi
 */
export function branchKey({ transactionId, branchId }: Pick<Branch, 'transactionId' | 'branchId'>): string {
  if (typeof transactionId !== 'string' || typeof branchId !== 'string') {
    throw new TypeError(
      'A branch without ids: hand on the branch itself, and not a copy made by spreading it.',
    );
  }
  return `${transactionId}/${branchId}`;
}

/** A refusal with its reason: see {@link refuse}. @publicApi */
export interface AbortVote {
  readonly vote: 'abort';
  /** Stable, for programs: `OUT_OF_STOCK`. */
  readonly code: string;
  /** For people. It reaches logs and callers, so nothing secret belongs in it. */
  readonly reason: string;
  /** See {@link RefusalOptions.conflict}. */
  readonly conflict?: boolean;
  /** See {@link RefusalOptions.overloaded}. */
  readonly overloaded?: boolean;
}

/** What {@link refuse} takes besides the code and the reason. @publicApi */
export interface RefusalOptions {
  /**
   * Whether the branch met another transaction, and nothing is wrong with what was asked: a lock was not free in time, a
   * deadlock was broken, a concurrent change came first. The coordinator then asks the participants of such
   * transactions one after the other for a while, and runs a transaction of `run()` again that was refused for nothing
   * else.
   *
   * @default false
   */
  readonly conflict?: boolean;
  /**
   * Whether the server behind the participant is short of room: no slot for a prepared transaction, no connection. The
   * coordinator then begins fewer transactions with the participants on that server.
   *
   * @default false
   */
  readonly overloaded?: boolean;
}

/**
 * The answer to prepare. `commit`: prepared, and able to commit whatever happens. `read-only`: nothing was
 * changed, and the branch wants to hear no more. `abort`, or {@link refuse}: no, and nothing is held. Any other
 * value is not a vote, and aborts the transaction.
 *
 * @publicApi
 */
export type Vote = 'commit' | 'read-only' | 'abort' | AbortVote;

/**
 * A service that takes part in transactions.
 *
 * @typeParam P the payload of its branches.
 * @publicApi
 */
export interface TransactionParticipant<P = unknown> {
  /**
   * Does the work so that it can still go both ways, and votes. After a `commit` vote the branch must be able to
   * commit and to roll back until it is told which. A throw is not a refusal: the branch is rolled back.
   */
  prepare(branch: Branch<P>): Vote | PromiseLike<Vote>;

  /**
   * Makes the work of a prepared branch final. Called until it succeeds, so it must take repeats.
   *
   * @throws HeuristicError when the branch has ended otherwise. Any other throw means: try again.
   */
  commit(branch: Branch<P>): void | PromiseLike<void>;

  /**
   * Undoes the work of a branch. Called until it succeeds, so it must take repeats; also for a branch that never
   * prepared, or is preparing still: a prepare that arrives afterwards must be refused. ParticipantGuard does that.
   *
   * The payload of an orphan went down with the run that began it: it is undefined, unless {@link recover} lists it. So undo
   * what prepare has kept under the ids of the branch, and not what the payload says.
   *
   * @throws HeuristicError when the branch has ended otherwise. Any other throw means: try again.
   */
  rollback(branch: Branch<P | undefined>): void | PromiseLike<void>;

  /**
   * Does the work and commits it in one call. Optional: used when this is the only branch of its transaction.
   * A throw means that the outcome is unknown, so it is called again and must answer as the first time.
   *
   * @returns `commit` when it is done, `abort` or {@link refuse} when it is not and never will be.
   */
  commitOnePhase?(branch: Branch<P>): OnePhaseAnswer | PromiseLike<OnePhaseAnswer>;

  /**
   * Whether the branches that it has prepared outlive the process of the coordinator, and hold what they hold. Then a durable
   * log is needed.
   *
   * @default whether it has the method `recover`
   */
  readonly preparesDurably?: boolean | undefined;

  /**
   * Hears at the start which run of the coordinator works with it from now on, before any branch and before recovery.
   * Optional, for a participant that outlives the run: it keeps the log id, the epoch and the token of each run that it
   * lets in, and refuses one whose log does not know the latest that it has kept. Such a log was copied, or restored from
   * a backup, and would give out ids a second time and take branches of a living coordinator for its orphans.
   *
   * @param isOwnRun asks the log of the run.
   * @throws what refuses the start. Of one that is registered later, and of one that is refused then, no branch is begun.
   */
  claim?(run: CoordinatorRun, isOwnRun: IsOwnRun): void | PromiseLike<void>;

  /**
   * Lists the branches that are prepared here and were told no decision, all of them, also those of other
   * coordinators. Optional: with it, branches that a crash of the coordinator has left behind are found and rolled back.
   *
   * @param run the run that asks: for a participant that several coordinators have claimed.
   * @throws when the list would not be complete. Then nothing is concluded from it.
   */
  recover?(run?: CoordinatorRun): readonly PreparedBranch[] | PromiseLike<readonly PreparedBranch[]>;

  /**
   * Says what the server behind it can take. Optional: with it, the coordinator begins no more transactions than the
   * server can take, counting all participants on it together. Asked at the start or when it is registered; and while slots are taken
   * that are not the coordinator's, asked again, at most every five seconds.
   */
  capacity?(): ParticipantCapacity | PromiseLike<ParticipantCapacity>;

  /**
   * Hears that a branch of this participant has been enlisted, before any other call for it. Optional, for bookkeeping:
   * nothing waits for it, and what it throws is logged and changes nothing.
   */
  branchStarted?(start: BranchStart<P>): void | PromiseLike<void>;

  /**
   * Hears how a branch of this participant has ended, once its whole transaction is over. Optional, as
   * {@link branchStarted} is, and just as harmless. It is told once by each run of the coordinator that brings a
   * transaction to its end, also of a branch that an earlier run has started.
   */
  branchEnded?(end: BranchEnd): void | PromiseLike<void>;
}

/** What the server behind a participant can take, in whole numbers. @publicApi */
export interface ParticipantCapacity {
  /** Which server it is: the same text for all participants on one server, and another for any other. */
  readonly server: string;
  /** How many prepared transactions the server holds at most, of all its clients together. */
  readonly preparedTransactions: number;
  /** How many it held when it was asked. */
  readonly preparedTransactionsInUse: number;
  /** How many connections the server gives to ordinary clients at most. */
  readonly connections: number;
  /** How many were open when it was asked, those of the participant included. */
  readonly connectionsInUse: number;
  /** How many branches the participant can prepare at the same time. */
  readonly workConnections: number;
  /** How many connections the participant opens at most, those for completion and recovery included. */
  readonly ownConnections: number;
}

/** A branch that has been enlisted. @publicApi */
export type BranchStart<P = unknown> = Pick<Branch<P>, 'transactionId' | 'branchId' | 'payload'>;

/** How a branch has ended. Its payload is not kept for so long. @publicApi */
export interface BranchEnd extends Pick<Branch, 'transactionId' | 'branchId'> {
  /**
   * `read-only` and `refused` as it voted; `rolled-back` also when it was never prepared; `heuristic` when the participant
   * reported an end of its own.
   */
  readonly state: 'committed' | 'rolled-back' | 'read-only' | 'refused' | 'heuristic';
  /** The report, where the state is `heuristic`. */
  readonly heuristic?: { readonly kind: HeuristicKind; readonly reason: string };
}

/** A branch that is prepared, as its participant lists it. @publicApi */
export interface PreparedBranch extends Pick<Branch, 'transactionId' | 'branchId'> {
  /** What was asked of the participant, where it has kept it: handed to it again with the decision. @default undefined */
  readonly payload?: unknown;
}

/** The answer to a one-phase commit. @publicApi */
export type OnePhaseAnswer = 'commit' | 'abort' | AbortVote;

/**
 * A refusal, with a code for programs and a reason for people.
 *
 * @param code stable, such as `OUT_OF_STOCK`.
 * @param reason in words; shown to callers and in logs.
 * @param options says more of the refusal.
 * @publicApi
 */
export function refuse(code: string, reason: string, options: RefusalOptions = {}): AbortVote {
  const { conflict = false, overloaded = false } = options;
  return { vote: 'abort', code, reason, ...(conflict && { conflict }), ...(overloaded && { overloaded }) };
}

/** @returns whether a value is a refusal, with or without a reason. */
export function isRefusal(value: unknown): value is 'abort' | AbortVote {
  return (
    value === 'abort' ||
    (typeof value === 'object' && value !== null && (value as Partial<AbortVote>).vote === 'abort')
  );
}

/**
 * Thrown by a participant's commit or rollback when its branch has ended in another way than it is told, or may
 * have. The branch is not tried again; the report is kept until an operator forgets it.
 *
 * @publicApi
 */
export class HeuristicError extends Error {
  readonly code = 'DTC_HEURISTIC';

  /**
   * @param kind how the branch ended: all `commit`, all `rollback`, `mixed`, or `hazard` when that is not known.
   * @param message why, in words.
   */
  constructor(
    readonly kind: HeuristicKind,
    message: string,
  ) {
    super(message);
    this.name = 'HeuristicError';
  }
}

import { expiringVoteIn } from '../gate/expiring-vote.js';
import type { HeuristicKind } from '../protocol/index.js';
import type { DatabaseInspection } from './inspection.js';
import type { RemoteContact } from './remote-contact.js';

export {
  type DatabaseInspection,
  type DatabaseSession,
  type LockHolder,
  type LockWait,
  MAX_LISTED,
  type PreparedTransaction,
} from './inspection.js';
export { MAX_VALID_FOR_MS, expiringVoteIn } from '../gate/expiring-vote.js';

/**
 * A run of a coordinator, from its start to its end.
 *
 * @publicApi
 */
export interface CoordinatorRun {
  /** The name of the coordinator. */
  readonly name: string;
  /** The id of its decision log. Every run with this log has it, and so has every copy of the log. */
  readonly logId: string;
  /** The number of this start of the log, from 1. */
  readonly epoch: number;
  /**
   * A random value of this run alone. The original log and its copy, or a restored one, can both give out the
   * same epoch, but not the same token.
   */
  readonly token: string;
  /**
   * Whether the log outlives the run. Only then is a branch without a decision an orphan, which is rolled
   * back.
   */
  readonly durable: boolean;
  /**
   * Whether several runs of this log can live at the same time: each is a member of the coordinator, and a
   * later one does not end an earlier one.
   *
   * @default false
   */
  readonly isShared?: boolean;
  /**
   * Whether a participant host makes the calls: it works for several runs of this log at the same time, and
   * so do its replicas.
   *
   * @default false
   */
  readonly isOfHost?: boolean;
  /**
   * Whether the coordinator may still call branches of a transaction: the transaction is running or stalled,
   * waits for a paused participant, or holds a report. A participant keeps its records of such a branch,
   * however old they are. While the coordinator has not yet loaded the transactions of earlier runs, this
   * returns true for every transaction. Undefined in a run that a program made itself.
   */
  readonly isUnsettled?: (transactionId: string) => boolean;
  /**
   * The low-water marks of the log: of an epoch, no transaction is called any more whose number is at most
   * `sequence`. With the epoch 0, `sequence` is the highest epoch that is over as a whole. Empty while
   * nothing can be said, and undefined in a run that a program made itself.
   */
  readonly lowWaterMarks?: () => readonly { readonly epoch: number; readonly sequence: number }[];
}

/**
 * Asks the decision log of a run whether it has given out this epoch with this token.
 *
 * @returns a promise that rejects when the log cannot answer now. The claim must then fail.
 * @publicApi
 */
export type IsOwnRun = (epoch: number, token: string) => Promise<boolean>;

/**
 * One participant's part of one transaction. Each call of the participant receives an object of its own. A
 * copy made by spreading has all fields but the signal: `{ ...branch, signal: branch.signal }`.
 *
 * @typeParam P the payload: what the participant has to do.
 * @publicApi
 */
export interface Branch<P = unknown> {
  /** The id of the transaction, the same for all its branches. */
  readonly transactionId: string;
  /** The id of the branch within its transaction: the participant's name, unless the caller chose another. */
  readonly branchId: string;
  /**
   * What the caller asks of this participant. If the coordinator has no record of it, it is the payload that
   * `recover` lists.
   */
  readonly payload: P;
  /** When the coordinator stops waiting for this call, in milliseconds since the epoch. */
  readonly deadline: number;
  /**
   * Aborted when the coordinator no longer waits for this call. Stop the work then, and release its
   * resources.
   */
  readonly signal: AbortSignal;
  /** The number of this delivery of the decision, from 1; 0 in prepare. */
  readonly attempt: number;
  /**
   * The run of the coordinator that makes this call. An earlier run of the same log may have started the
   * transaction.
   */
  readonly run: CoordinatorRun;
  /**
   * The id of the request that began the transaction, as its caller has given it (`requestId` of `run` and
   * `begin`): 1 to 200 visible ASCII characters, for log lines and for requests to other services. Undefined
   * where the caller gave none, and for an orphan.
   */
  readonly requestId?: string | undefined;
}

/**
 * The key under which a participant stores the work of a branch. It combines both ids: a transaction may have
 * several branches of one participant, and branches of different transactions may have the same id.
 *
 * @throws TypeError when it has no ids: it is neither a branch nor a copy of one.
 * @publicApi
 */
export function branchKey({ transactionId, branchId }: Pick<Branch, 'transactionId' | 'branchId'>): string {
  if (typeof transactionId !== 'string' || typeof branchId !== 'string') {
    throw new TypeError(
      'A branch without ids: pass the branch that the participant received, or a copy of it.',
    );
  }
  return `${transactionId}/${branchId}`;
}

/** A refusal with its reason: see {@link refuse}. @publicApi */
export interface AbortVote {
  readonly vote: 'abort';
  /** A stable code for programs, such as `OUT_OF_STOCK`. */
  readonly code: string;
  /** A text for people. Logs and callers show it, so put nothing secret in it. */
  readonly reason: string;
  /** See {@link RefusalOptions.conflict}. */
  readonly conflict?: boolean;
  /** See {@link RefusalOptions.overloaded}. */
  readonly overloaded?: boolean;
  /** See {@link RefusalOptions.temporary}. */
  readonly temporary?: boolean;
}

/**
 * A vote for commit that holds for a limited time, such as a card authorisation or a held seat.
 *
 * @publicApi
 */
export interface ExpiringVote {
  readonly vote: 'commit';
  /**
   * For how long the branch can commit, in milliseconds: more than 0, and at most 2_678_400_000 (31 days).
   * The coordinator counts from the moment at which it called prepare, so the time that prepare takes is part
   * of it.
   */
  readonly validForMs: number;
}

/** The options of {@link refuse}. @publicApi */
export interface RefusalOptions {
  /**
   * Whether the branch conflicted with another transaction, although the request itself was correct: a lock
   * timed out, a deadlock was broken, or a concurrent change came first. For a while the coordinator then
   * asks the participants of such transactions one after the other. It runs a transaction of `run()` again if
   * conflicts were the only refusals.
   *
   * @default false
   */
  readonly conflict?: boolean;
  /**
   * Whether the server behind the participant lacks room: no slot for a prepared transaction, or no
   * connection. The coordinator then starts fewer transactions with the participants on that server.
   *
   * @default false
   */
  readonly overloaded?: boolean;
  /**
   * Whether the same request may succeed when it is tried again. The outcome says so, and over HTTP the
   * refusal is a 503 instead of a 409.
   *
   * @default whether `conflict` or `overloaded` is set
   */
  readonly temporary?: boolean;
}

/**
 * The answer to prepare. `commit`: the branch is prepared, and can commit whatever happens. An {@link
 * ExpiringVote}: it can commit for a limited time. `read-only`: the branch changed nothing, and needs no
 * decision. `abort`, or {@link refuse}: the branch refuses and holds nothing. Any other value is not a vote,
 * and aborts the transaction.
 *
 * @publicApi
 */
export type Vote = 'commit' | ExpiringVote | 'read-only' | 'abort' | AbortVote;

/**
 * A service that takes part in transactions.
 *
 * @typeParam P the payload of its branches.
 * @publicApi
 */
export interface TransactionParticipant<P = unknown> {
  /**
   * Does the work so that it can still be committed or undone, and votes. After a `commit` vote the branch
   * must be able to commit and to roll back until it receives the decision. An error is not a refusal: the
   * branch is rolled back.
   */
  prepare(branch: Branch<P>): Vote | PromiseLike<Vote>;

  /**
   * Makes the work of a prepared branch final. It is called until it succeeds, so it must accept repeats.
   *
   * @throws HeuristicError when the branch has ended otherwise. After any other error the coordinator tries
   * again.
   */
  commit(branch: Branch<P>): void | PromiseLike<void>;

  /**
   * Undoes the work of a branch. It is called until it succeeds, so it must accept repeats. It is also called
   * for a branch that never prepared or is still preparing. A prepare that arrives afterwards must be
   * refused. ParticipantGuard does that.
   *
   * The payload of an orphan is lost with the run that started it: it is undefined, unless {@link recover}
   * lists it. So undo what prepare stored under the ids of the branch, not what the payload describes.
   *
   * @throws HeuristicError when the branch has ended otherwise. After any other error the coordinator tries
   * again.
   */
  rollback(branch: Branch<P | undefined>): void | PromiseLike<void>;

  /**
   * Does the work and commits it in one call. Optional: the coordinator uses it when this is the only branch
   * of its transaction. After an error the outcome is unknown, so the method is called again and must answer
   * as it did the first time.
   *
   * @returns `commit` when the work is committed; `abort` or {@link refuse} when it is not and never will be.
   */
  commitOnePhase?(branch: Branch<P>): OnePhaseAnswer | PromiseLike<OnePhaseAnswer>;

  /**
   * Tells the participant under which name it is registered, before any other call. Optional, for a
   * participant that needs its name and was made by a factory, so that Nest injects nothing into it.
   *
   * @throws an error that refuses the registration.
   */
  registered?(registration: Registration): void;

  /**
   * Whether prepared branches, and what they hold, outlive the coordinator's process. A durable log is then
   * required.
   *
   * @default whether it has the method `recover`
   */
  readonly preparesDurably?: boolean | undefined;

  /**
   * Where the participant is reached, if it is in another process. The log keeps it with each branch. It may
   * change.
   *
   * @default undefined
   */
  readonly remoteAddress?: string | undefined;

  /**
   * The state of the calls to a participant in another process. It is read when an operator looks.
   *
   * @internal
   */
  readonly remoteContact?: RemoteContact | undefined;

  /**
   * Whether it stands for participants at many places, each with branches of its own.
   *
   * @default false
   * @internal
   */
  readonly isMany?: boolean;

  /**
   * Whether the participant itself makes repeated, late and overtaking calls harmless, also between several
   * processes that serve it. A participant host then adds no guard. Otherwise leave it out.
   *
   * @default false
   */
  readonly guardsItself?: boolean | undefined;

  /**
   * Looks at the payload of a branch before the branch is enlisted. Optional, for a participant that cannot
   * take every payload.
   *
   * @throws InvalidRequestError to refuse the branch. Nothing was enlisted then.
   */
  checkPayload?(payload: P): void;

  /**
   * Tells the participant at the start which run of the coordinator works with it, before any branch and
   * before recovery. Optional, for a participant that outlives the run. It stores the log id, the epoch and
   * the token of each run that it accepts. It refuses a run whose log does not know the latest stored run.
   * Such a log is a copy, or was restored from a backup: it would reuse ids, and take branches of a running
   * coordinator for its own orphans.
   *
   * @param isOwnRun asks the log of the run.
   * @throws any error to refuse the run, which stops the start. If a participant refuses later, the
   * coordinator starts no branch of it.
   */
  claim?(run: CoordinatorRun, isOwnRun: IsOwnRun): void | PromiseLike<void>;

  /**
   * Lists all branches that are prepared here and have received no decision, those of other coordinators
   * included. Optional: with it, branches that a crash of the coordinator left behind are found and rolled
   * back.
   *
   * @param run the run that asks, for a participant that several coordinators have claimed.
   * @throws any error when the list would not be complete. The coordinator then concludes nothing from it.
   */
  recover?(run?: CoordinatorRun): readonly PreparedBranch[] | PromiseLike<readonly PreparedBranch[]>;

  /**
   * Ends at once what a run is still doing here that another member of a shared log has fenced: open
   * transactions, with the locks that they hold. The run can decide nothing any more, but its process may
   * stand still. Branches that are prepared stay: the coordinator rolls them back, or commits them.
   *
   * Optional, and nothing waits for it: without it, such work ends at its deadline. An error is logged and
   * changes nothing.
   *
   * @param run the run that was fenced.
   */
  endSessionsOf?(run: CoordinatorRun): void | PromiseLike<void>;

  /**
   * Reports the capacity of the server behind the participant. Optional: with it, the coordinator starts no
   * more transactions than the server can take, counted over all participants on it. The coordinator asks at
   * the start or at registration. While other clients use slots, it asks again, at most every five seconds.
   */
  capacity?(): ParticipantCapacity | PromiseLike<ParticipantCapacity>;

  /**
   * Looks into the database behind the participant for an operator: what is prepared there, and who waits for
   * whom. Optional. It is called when an operator looks, also while the participant is paused: never for a
   * transaction, and never twice at the same time. It changes nothing.
   *
   * @param signal aborted when no one waits for the answer any more.
   * @throws any error when it cannot look. The operator is shown its message.
   */
  inspect?(signal: AbortSignal): DatabaseInspection | PromiseLike<DatabaseInspection>;

  /**
   * Tells the participant that one of its branches has been enlisted, before any other call for that branch.
   * Optional, for bookkeeping: nothing waits for it. An error is logged and changes nothing.
   */
  branchStarted?(start: BranchStart<P>): void | PromiseLike<void>;

  /**
   * Tells the participant how one of its branches has ended, after the whole transaction has ended. Optional.
   * As with {@link branchStarted}, an error changes nothing. Each run of the coordinator that ends a
   * transaction calls it once, also for a branch that an earlier run started.
   */
  branchEnded?(end: BranchEnd): void | PromiseLike<void>;
}

/** How a participant is registered. @publicApi */
export interface Registration {
  /** Its name in branches. */
  readonly name: string;
  /**
   * Claims the participant now, for one that runs branches before the application has started. Otherwise that
   * happens at the end of the start.
   *
   * @returns a promise that rejects with what `claim` throws.
   */
  claim(): Promise<void>;
}

/** The capacity of the server behind a participant, in whole numbers. @publicApi */
export interface ParticipantCapacity {
  /**
   * Identifies the server: the same text for all participants on one server, a different text for any other
   * server.
   */
  readonly server: string;
  /**
   * Which database on the server: the same text for all participants whose branches can wait for the same
   * rows. With it, a refusal because of a lock says when a branch of the same transaction may hold that lock.
   *
   * @default a database of its own
   */
  readonly database?: string | undefined;
  /** The most prepared transactions that the server holds, over all its clients. */
  readonly preparedTransactions: number;
  /** The prepared transactions that it held when it was asked. */
  readonly preparedTransactionsInUse: number;
  /** The most connections that the server gives to ordinary clients. */
  readonly connections: number;
  /** The connections that were open when it was asked, those of the participant included. */
  readonly connectionsInUse: number;
  /** The most branches that the participant can prepare at the same time. */
  readonly workConnections: number;
  /** The most connections that the participant opens, those for completion and recovery included. */
  readonly ownConnections: number;
}

/** A branch that has been enlisted. @publicApi */
export type BranchStart<P = unknown> = Pick<Branch<P>, 'transactionId' | 'branchId' | 'payload'>;

/** How a branch has ended. The payload is not kept until then. @publicApi */
export interface BranchEnd extends Pick<Branch, 'transactionId' | 'branchId'> {
  /**
   * `read-only` and `refused` are its votes. `rolled-back` also covers a branch that never prepared.
   * `heuristic` means that the participant reported an end of its own.
   */
  readonly state: 'committed' | 'rolled-back' | 'read-only' | 'refused' | 'heuristic';
  /** The report, if the state is `heuristic`. */
  readonly heuristic?: { readonly kind: HeuristicKind; readonly reason: string };
}

/** A prepared branch, as its participant lists it. @publicApi */
export interface PreparedBranch extends Pick<Branch, 'transactionId' | 'branchId'> {
  /**
   * The payload, if the participant has stored it. It comes back to the participant with the decision.
   * @default undefined
   */
  readonly payload?: unknown;
}

/** The answer to a one-phase commit. @publicApi */
export type OnePhaseAnswer = 'commit' | 'abort' | AbortVote;

/**
 * A refusal, with a code for programs and a reason for people.
 *
 * @param code stable, such as `OUT_OF_STOCK`.
 * @param reason a text, shown to callers and in logs.
 * @param options further properties of the refusal.
 * @publicApi
 */
export function refuse(code: string, reason: string, options: RefusalOptions = {}): AbortVote {
  const { conflict = false, overloaded = false, temporary } = options;
  return {
    vote: 'abort',
    code,
    reason,
    ...(conflict && { conflict }),
    ...(overloaded && { overloaded }),
    ...(temporary !== undefined && { temporary }),
  };
}

/** @returns whether a value is a refusal, with or without a reason. */
export function isRefusal(value: unknown): value is 'abort' | AbortVote {
  return (
    value === 'abort' ||
    (typeof value === 'object' && value !== null && (value as Partial<AbortVote>).vote === 'abort')
  );
}

/** @returns whether a vote is for commit, without a limit or for a time that is valid. */
export function isForCommit(vote: Vote): vote is 'commit' | ExpiringVote {
  return vote === 'commit' || expiringVoteIn(vote) !== undefined;
}

/**
 * Thrown by a participant's commit or rollback when its branch has ended against the decision, or may have.
 * The coordinator does not try the branch again. It keeps the report until an operator forgets it.
 *
 * @publicApi
 */
export class HeuristicError extends Error {
  readonly code = 'DTC_HEURISTIC';

  /**
   * @param kind how the branch ended: all `commit`, all `rollback`, `mixed`, or `hazard` when that is not
   * known.
   * @param message the reason, for people.
   */
  constructor(
    readonly kind: HeuristicKind,
    message: string,
  ) {
    super(message);
    this.name = 'HeuristicError';
  }
}

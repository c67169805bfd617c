import type { CallerNote } from '../participant/caller-note.js';
import type { HeuristicKind } from '../protocol/index.js';
import type { FlushStatistics } from './flush-statistics.js';

/**
 * The decider of a transaction: the log, whose record is the decision, or one of its branches, which the record then only names.
 *
 * @publicApi
 */
export type Decider = { readonly kind: 'log' } | { readonly kind: 'branch'; readonly branchId: string };

/** The decider of every transaction whose decision is its record in the log. @publicApi */
export const DECIDED_BY_LOG: Decider = Object.freeze({ kind: 'log' });

/**
 * The record of a transaction whose commit is decided: everything that is needed to deliver the decision again.
 *
 * @publicApi
 */
export interface CommitRecord {
  readonly id: string;
  readonly name: string;
  readonly decider: Decider;
  /** When it began and was decided, in milliseconds since the epoch: shown to people, and nothing depends on it. */
  readonly begunAt?: number | undefined;
  readonly decidedAt?: number | undefined;
  /** The branches that voted commit. */
  readonly branches: readonly {
    readonly branchId: string;
    /** The name of the participant. */
    readonly participant: string;
    /** Where the participant is reached, for one that is not in this process. */
    readonly address?: string | undefined;
    /** The payload from the caller. It must survive the format in which the log keeps it. */
    readonly payload: unknown;
    /** Whether it has acknowledged the commit, or reported another end. */
    readonly completed: boolean;
    /** When its vote expires, in milliseconds since the epoch: such branches are completed first. */
    readonly expiresAt?: number | undefined;
  }[];
  /** The keys of the business that its caller has given it: shown to people, and nothing depends on them. */
  readonly attributes?: Readonly<Record<string, string>> | undefined;
  /** Where it comes from: its trace, and the request of its caller. */
  readonly caller?: CallerNote | undefined;
  /** The transactions that the same record commits, where it is the record of a group. Their ids are of the same epoch. */
  readonly members?: readonly GroupedTransaction[] | undefined;
}

/** A transaction that was committed as a member of a group. @publicApi */
export interface GroupedTransaction {
  readonly id: string;
  readonly name: string;
}

/**
 * A commit decision, as it is handed to the log. The record is made only if the log asks for it.
 *
 * @publicApi
 */
export interface CommitDecision {
  readonly id: string;
  toRecord(): CommitRecord;
}

/**
 * A participant's report that its branch ended otherwise than was decided, or may have. It is kept until an operator
 * forgets it.
 *
 * @publicApi
 */
export interface HeuristicRecord {
  /** The transaction, and what it was called. */
  readonly id: string;
  readonly name: string;
  readonly decision: 'commit' | 'abort';
  readonly branchId: string;
  /** The name of the participant. */
  readonly participant: string;
  readonly kind: HeuristicKind;
  readonly reason: string;
}

/**
 * The actions of an operator on a transaction, a participant, the coordinator or the messages of an outbox.
 *
 * @publicApi
 */
export const OPERATOR_ACTIONS = [
  'abort',
  'retry',
  'resolve',
  'forget',
  'pause',
  'resume',
  'drain',
  'undrain',
  'resend',
  'discard',
] as const;

/** One of {@link OPERATOR_ACTIONS}. @publicApi */
export type OperatorAction = (typeof OPERATOR_ACTIONS)[number];

/**
 * An order of an operator. It is written before it is carried out, so that nothing is done without a trace. Its result is shown
 * at the transaction, participant or coordinator that it concerns.
 *
 * @publicApi
 */
export interface AuditEntry {
  /** From 1 and rising, also over restarts where the log is durable. One that could not be written leaves a gap. */
  readonly number: number;
  /** In milliseconds since the epoch. */
  readonly at: number;
  /** The name of the operator. */
  readonly by: string;
  readonly action: OperatorAction;
  /** The id of a transaction, `<transaction>/<branch>`, or the name of a participant, an outbox or the coordinator. */
  readonly target: string;
  /** Why, in the operator's words. */
  readonly reason: string;
  /** Further details of the order, in words, or null. */
  readonly detail: string | null;
}

/** How many audit entries are kept, the latest. */
export const AUDIT_KEPT = 1_000;

/** The claim of a coordinator on its log: from now on the log takes records of this epoch only. @publicApi */
export interface LogClaim {
  /**
   * The id of the log: 12 random characters of 0-9 and a-z, made once, when the log is made. It stays with the log wherever
   * the log goes, and is part of every transaction id and of every record.
   */
  readonly logId: string;
  /** The number of this start of the log, from 1: part of every transaction id. */
  readonly epoch: number;
  /**
   * Random, made by the log for this start, and stored in one write with the epoch. Of two copies of a log each gives out
   * the same epochs, but never the same token.
   */
  readonly token: string;
  /** Whether the decisions of earlier epochs are known. Only then does no record mean abort. */
  readonly durable: boolean;
  /** Every commit record without an end record, read after the claim. */
  readonly decisions: readonly CommitRecord[];
  /** Every heuristic report that was not forgotten. */
  readonly reports: readonly HeuristicRecord[];
  /** The latest audit entries, at most 1,000, in the order of their numbers. */
  readonly audits: readonly AuditEntry[];
  /** Problems of the log that did not stop the start. They are logged for an operator. */
  readonly warning?: string;
}

/**
 * Where commit decisions are kept. A record means commit permanently; no record means abort, so nothing else is ever
 * written for a decision (presumed abort: Mohan, Lindsay and Obermarck, "Transaction Management in the R*
 * Distributed Database Management System", 1986).
 *
 * @publicApi
 */
export interface DecisionLog {
  /** How it has flushed. One that does not flush has none. */
  readonly flushes?: FlushStatistics;

  /**
   * Claims the log for a new run, and then reads it. Called once, before anything else.
   *
   * @param coordinator the name of the coordinator. Each name has a log of its own.
   * @throws what makes a start impossible; the application does not start then.
   */
  open(coordinator: string): LogClaim | Promise<LogClaim>;

  /**
   * Whether this log has given out an epoch together with a token: it keeps both of every start. Participants ask it about
   * the runs that they have seen. What the log denies was given out by a copy of it, or after the backup from which it
   * was restored.
   *
   * @returns `false` also for an epoch of this log with another token. A rejection means that it cannot be found out now.
   */
  isOwnRun(epoch: number, token: string): boolean | Promise<boolean>;

  /**
   * Makes a commit decision durable, unless the log has been claimed anew since it was opened.
   *
   * @returns nothing when it is durable at once, else a promise that resolves when it is. A rejection means that
   * it is unknown whether it is, or will be.
   */
  append(decision: CommitDecision): void | Promise<void>;

  /**
   * Finds out what became of an append that was rejected, or that has not been answered for long. `absent` is an
   * answer only when the record is not there and can no longer get there; `fenced` says that another has claimed the
   * log, and decides. It may be asked again while an earlier question is unanswered.
   *
   * @returns a promise that rejects when that cannot be found out now.
   */
  lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'>;

  /**
   * Replaces the record of a decision by one in which more branches are completed, because the others will not be for a
   * while. It never brings back a record that was ended.
   *
   * @param isPromised whether a caller is told that the log has it, as a payload was replaced. A shared log then notices the loss
   * of this write, as it does with `append`. @default false
   * @returns as `append` does. If it is lost, the commit is delivered once more to who has acknowledged it; a participant
   * that has forgotten the branch by then reports a hazard, and never does anything twice.
   */
  progress(decision: CommitDecision, isPromised?: boolean): void | Promise<void>;

  /**
   * Every branch has acknowledged the commit, so its record need be kept no longer. If this is lost, the commit
   * is delivered once more after the next start, as with `progress`.
   */
  end(transactionId: string): void | Promise<void>;

  /**
   * Keeps a heuristic report until its transaction is forgotten. It is there no later than the end record.
   *
   * @returns as `append` does. No participant may be asked for it again, so a rejected report is written again when
   * the log works.
   */
  report(report: HeuristicRecord): void | Promise<void>;

  /**
   * Drops reports of a transaction.
   *
   * @param branchId of the only branch whose report is dropped. @default all branches
   */
  forget(transactionId: string, branchId?: string): void | Promise<void>;

  /**
   * Keeps an audit entry. The latest 1,000 are kept.
   *
   * @returns as `append` does. If it is rejected, what it tells of is not done.
   */
  audit(entry: AuditEntry): void | Promise<void>;

  /**
   * Finds out whether a record could be written now. Asked after a write has failed, until it succeeds.
   *
   * @returns a promise that rejects when it could not.
   */
  check(): Promise<void>;

  /** Gives the log back. Nothing is called after it. */
  close(): void | Promise<void>;
}

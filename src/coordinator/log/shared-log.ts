import type { CoordinatorRun } from '../participant/participant.js';
import type {
  AuditEntry,
  CommitDecision,
  CommitRecord,
  DecisionLog,
  HeuristicRecord,
  LogClaim,
} from './decision-log.js';

/**
 * A decision log that several processes write at the same time. The processes are the members of one
 * coordinator: they have its name in common, and each start of a member has an epoch of its own.
 *
 * The property `members` says that a log is shared. What {@link DecisionLog} says holds with these
 * differences:
 *
 * - **Claim.** `open` takes a new epoch with one atomic statement, and fences no other. Its `decisions` and
 *   `reports` are empty: what other epochs have left is found by {@link LogMembers.adopt}. Its `audits` are
 *   those of all members.
 * - **Epoch.** Every write is conditional: it has an effect only while the epoch of the writer is not fenced.
 *   The condition and the fence exclude each other at the log, whatever clocks and networks do. A write of a
 *   fenced epoch rejects with the code `DTC_FENCED`.
 * - **Incarnation.** Only one connection of a member writes. Each new one takes a higher incarnation, and a
 *   write is conditional on it as well. So no statement of a lost connection takes effect after a newer
 *   incarnation was taken. A write that is refused for its incarnation, while the epoch is not fenced, has no
 *   effect and may be sent again.
 * - **Unknown.** A write whose answer is lost, late, an error or comes with a warning is unknown: it rejects,
 *   and `lookUp` finds out. A slow statement is given up with its connection and never cancelled.
 * - **Belief.** A row that can be read need not be replicated yet. So every answer that is read from the log,
 *   a record or a fence, is given only after a later write of the same reader has committed without a
 *   warning.
 * - **Mark.** The log counts the writes of each epoch that add something, and each new connection compares
 *   the count with the one that came with the last acknowledged write. What a server loses is always the end
 *   of what it was given, so every loss of an acknowledged write is noticed, whatever the numbers of its
 *   transactions. A log that is behind ends the epoch: every write rejects with the code `DTC_LOG_BEHIND`
 *   until the process is restarted, and nothing is ever presumed of the epoch.
 * - **Timeline.** A server that took over from another one has a new timeline, and records may be missing.
 *   Unless the operator has declared that only synchronous standbys take over, the first connection to it
 *   checks the mark and ends the epoch, as if it were fenced: {@link LogMembers.restart} takes another.
 * - **Ownership.** `progress`, `end` and `forget` change records of the own epoch, and of epochs that this
 *   member has adopted. Those of any other epoch change nothing. Only the reports of an epoch that is settled
 *   are forgotten by any member: a branch of it may be found late, and the member that finds it reports how
 *   it has ended.
 *
 * @publicApi
 */
export interface SharedDecisionLog extends DecisionLog {
  /** The functions for the members of the coordinator. */
  readonly members: LogMembers;

  /**
   * Takes an epoch that the log has never given out before.
   *
   * @returns the claim. `durable` is true, `decisions` and `reports` are empty.
   */
  open(coordinator: string): Promise<LogClaim>;

  /**
   * Makes a commit decision durable, as {@link DecisionLog.append} does. The same statement raises the
   * high-water mark of the epoch.
   *
   * A record without branches is an outcome only: nothing has to be delivered, so no adoption finds it. A
   * wholly read-only commit writes one before its caller is answered. A one-phase commit first writes a
   * record whose `decider` names its branch; {@link end} then says what the branch has decided.
   *
   * @param decision of a transaction of the own epoch.
   * @throws RangeError for the id of any other epoch or log.
   */
  append(decision: SharedCommitDecision): Promise<void>;

  /**
   * Finds out what became of an append. It takes a new incarnation first and reads then, so `absent` holds
   * for all time.
   *
   * @returns after a fence `absent` for what was never sent to the log, or was refused by it, and `fenced`
   * only where an append was sent and not answered. For a transaction of an epoch that this member has
   * adopted, what the log holds. For any other epoch `fenced`: this member has no right to an answer, and
   * {@link outcomeOf} may know one.
   */
  lookUp(transactionId: string): Promise<'recorded' | 'absent' | 'fenced'>;

  /**
   * Every branch has acknowledged. The log drops the record and keeps the outcome for the time of its
   * retention.
   *
   * @param outcome `aborted` only for a record whose decider is a branch: that branch has refused. The log
   * then drops the record and frees the key. @default 'committed'
   */
  end(transactionId: string, outcome?: 'committed' | 'aborted'): void | Promise<void>;

  /**
   * Finds out what the log knows of a transaction of any member. Reading it changes nothing.
   *
   * @returns a promise that rejects when it cannot be found out now.
   */
  outcomeOf(transactionId: string): Promise<LoggedOutcome>;

  /**
   * Reserves the key of a request for a transaction, before anything of the transaction begins. Reservations
   * that wait share one statement, with their keys in sorted order.
   *
   * The key is free again after {@link release}, after an `end` with `aborted`, after an adoption that finds
   * no record of the transaction, and when the outcome of the transaction is purged. To reserve it again for
   * the same transaction changes nothing.
   *
   * @returns a promise that rejects as the one of `append` does. Then nothing may begin.
   */
  reserve(request: KeyedRequest): Promise<Reservation>;

  /**
   * The transaction has aborted, so its key is free. If this is lost, the key is free when the epoch is
   * adopted.
   */
  release(transactionId: string): void | Promise<void>;

  /** @returns the latest audit entries of all members, in the order in which the log has taken them. */
  audits(): Promise<readonly SharedAuditEntry[]>;

  /** @returns every heuristic report of all members that was not forgotten. */
  reports(): Promise<readonly HeuristicRecord[]>;

  /**
   * Keeps where a participant in another process is reached. A later registration of the same name replaces
   * it, and a branch in doubt follows its participant.
   *
   * @returns as `append` does.
   */
  register(registration: ParticipantRegistration): Promise<void>;

  /**
   * Takes no more branches to a participant. Its registration stays in the log, marked as removed, since a
   * branch in doubt may need it.
   */
  unregister(name: string): Promise<void>;

  /** @returns the registrations, those that were removed included. */
  registrations(): Promise<readonly LoggedRegistration[]>;
}

/** The functions of a shared log for its members. @publicApi */
export interface LogMembers {
  /**
   * Renews the lease of this member, by the clock of the log, and sees the other members. The lease has a row
   * of its own, which no append locks. It also holds a lock of its session, which the log drops when the
   * process is gone.
   *
   * Neither an old lease nor a free lock proves anything: both are only reasons to fence.
   *
   * @param lease what the others are told of this member.
   * @returns a promise that rejects when the lease may not have been renewed. Then nothing that it would have
   * said is known.
   */
  renew(lease: MemberLease): Promise<Renewal>;

  /**
   * Fences an epoch, commits that without a warning, and then reads everything that the epoch has left, and
   * everything that it had adopted. One member wins: the epochs belong to it from then on. To adopt an epoch
   * again reads again what is left of all the epochs that this member has adopted.
   *
   * The reservations of request keys that have no record are freed, unless the epoch is not presumable.
   *
   * @returns `taken` when another member that is not fenced has adopted the epoch. A promise that rejects
   * says that the fence may have been set: call it again. It rejects with `DTC_FENCED` when this member
   * itself is fenced.
   * @throws RangeError for the own epoch, and for one that the log has never given out.
   */
  adopt(epoch: number): Promise<Adoption | 'taken'>;

  /**
   * Nothing of an adopted epoch is open any more. It stays fenced, and no record still means abort. Its
   * outcomes are kept for the time of their retention.
   *
   * @returns false, and nothing has changed, while the log holds a record of it without an end, or when this
   * member has not adopted it.
   */
  settled(epoch: number): Promise<boolean>;

  /**
   * What may be concluded of runs of this log, for branches that are found late.
   *
   * @returns one entry for each of the epochs that the log has given out.
   */
  runs(epochs: readonly number[]): Promise<readonly KnownRun[]>;

  /**
   * Takes a new epoch without a new process: this member was fenced, or the server of the log is on a new
   * timeline. If the old epoch is not fenced it ends here: its high-water mark is checked, it is fenced, and
   * any member may adopt it. What was not sent to the log by then is absent; what was sent and not answered
   * is unknown.
   *
   * @returns the new claim. Everything that is called from then on is of the new epoch.
   * @throws the error with the code `DTC_LOG_BEHIND` when the log has lost what it had acknowledged: a person
   * has to look.
   */
  restart(): Promise<LogClaim>;

  /**
   * Ends the epoch of this member, at a clean stop. Other members may adopt at once what is left of it, and
   * everything that it had adopted. Nothing but `close` is called after it.
   */
  leave(): Promise<void>;

  /**
   * Writes records of a newer format from now on, if every epoch that is not fenced can read it. This and the
   * taking of an epoch exclude each other.
   *
   * @returns the format in which records are written from now on: the one asked for, or the present one.
   */
  raiseFormat(format: number): Promise<number>;
}

/** A commit decision, as it is handed to a shared log. @publicApi */
export interface SharedCommitDecision extends CommitDecision {
  /**
   * The ids of other transactions of this epoch that the same record decides, where the decision is one of a
   * group. The same statement writes an outcome for each of them.
   */
  readonly alsoCommits?: readonly string[];
}

/** Which record formats a member can read: all from the first to the last. @publicApi */
export interface FormatRange {
  readonly first: number;
  readonly last: number;
}

/** The entry of a member, which the others read. @publicApi */
export interface MemberLease {
  /** The name of the member for people, such as that of its host. At most 200 characters. */
  readonly member: string;
  /** The URL at which the other members reach it; null when they cannot. At most 2,000 characters. */
  readonly address: string | null;
  /** Whether it takes no new transactions. */
  readonly draining: boolean;
}

/** The state of all members at the moment at which a lease was renewed. @publicApi */
export interface Renewal {
  /**
   * Why this member has to call {@link LogMembers.restart}: its epoch is fenced, or the server of the log is
   * on a timeline on which the epoch was not taken. Null when it may go on.
   */
  readonly mustRestart: 'fenced' | 'timeline' | null;
  /** For how long the server of the log has been up, in milliseconds, by its own clock. */
  readonly serverUptimeMs: number;
  /** The format in which records are written. */
  readonly format: number;
  /** Every epoch that is not settled, in ascending order, the own one included. */
  readonly epochs: readonly MemberEpoch[];
}

/** One epoch that is not settled, as the log sees it. @publicApi */
export interface MemberEpoch extends MemberLease {
  readonly epoch: number;
  readonly token: string;
  /** The formats that its process can read. */
  readonly formats: FormatRange;
  /**
   * How long ago its lease was renewed, in milliseconds, by the clock of the log. Where it is larger than the
   * uptime of the server, the server was started since, and a lock that is free says nothing.
   */
  readonly ageMs: number;
  /** Whether a session holds the lock of this epoch. */
  readonly isLockHeld: boolean;
  /** Whether it can write nothing more. */
  readonly isFenced: boolean;
  /** The epoch of the member that has adopted it; null for none. Its adopter may be fenced itself. */
  readonly adoptedBy: number | null;
  /**
   * Whether no record means abort once the epoch is fenced. It is false where the owner has not checked, on
   * the present timeline of the server, that the log still holds what it had acknowledged.
   */
  readonly isPresumable: boolean;
}

/** The result of an adoption. @publicApi */
export interface Adoption {
  /**
   * The epoch, and every epoch that it had adopted and not settled or that has reports, in ascending order.
   */
  readonly runs: readonly AdoptedRun[];
}

/**
 * The records of one epoch. They were read after it was fenced, and are complete for this reason.
 *
 * @publicApi
 */
export interface AdoptedRun {
  /**
   * The run. Its `durable` is false where the run is not presumable: then no record means nothing, and a
   * person decides.
   */
  readonly run: CoordinatorRun;
  /** Every commit record without an end. */
  readonly decisions: readonly CommitRecord[];
  /** Every heuristic report that was not forgotten. */
  readonly reports: readonly HeuristicRecord[];
}

/** What may be concluded of a run. @publicApi */
export interface KnownRun {
  readonly epoch: number;
  readonly token: string;
  /** Whether it can write nothing more. */
  readonly isFenced: boolean;
  /** Whether nothing of it is open: for such a run every branch without a retained outcome is aborted. */
  readonly isSettled: boolean;
  readonly isPresumable: boolean;
  /** The epoch of the member that has adopted it; null for none. */
  readonly adoptedBy: number | null;
}

/**
 * What the log knows of a transaction.
 *
 * - `committed`: the record, while it has no end; else only the outcome is kept.
 * - `aborted`: the epoch is fenced and presumable, and there is neither a record nor an outcome.
 * - `live`: only the member that owns the epoch, or that has adopted it, can know more. `adoptedBy` of a
 *   record whose decider is a branch says who asks that branch.
 * - `unknown`: never to be taken for `aborted`. The outcome was `purged`; the epoch is `undecidable`, since
 *   its log may have lost records; or the id is `foreign`, of another log or of no log.
 *
 * @publicApi
 */
export type LoggedOutcome =
  | { readonly outcome: 'committed'; readonly record: CommitRecord | null }
  | { readonly outcome: 'aborted' }
  | {
      readonly outcome: 'live';
      /** The epoch of the member to ask. */
      readonly owner: number;
      readonly address: string | null;
      /**
       * Whether outcomes up to this one were purged: an owner that does not know it answers `unknown`, never
       * `aborted`.
       */
      readonly isPurged: boolean;
      /**
       * Whether the log holds a record whose decider is a branch: then no owner answers `aborted` for lack of
       * a record.
       */
      readonly isRecorded: boolean;
    }
  | { readonly outcome: 'unknown'; readonly because: 'purged' | 'undecidable' | 'foreign' };

/** A request that must not run twice. @publicApi */
export interface KeyedRequest {
  /** At most 200 characters; unique among all requests of the coordinator. */
  readonly key: string;
  /**
   * Distinguishes the request from another one with the same key: for instance a hash of its content. At most
   * 200 characters.
   */
  readonly fingerprint: string;
  /** The transaction that is to run for it, one of the own epoch. */
  readonly transactionId: string;
}

/**
 * The result of a reservation. The key is now this transaction's; or an earlier transaction has it, with this
 * outcome (`live`: its caller is told `pending`); or an earlier transaction has it for another request.
 *
 * @publicApi
 */
export type Reservation =
  | { readonly kind: 'reserved' }
  | { readonly kind: 'earlier'; readonly transactionId: string; readonly outcome: LoggedOutcome }
  | { readonly kind: 'other-request'; readonly transactionId: string };

/** An audit entry with the epoch of the member that wrote it, within which its number counts. @publicApi */
export interface SharedAuditEntry extends AuditEntry {
  readonly epoch: number;
}

/** Where a participant in another process is reached. @publicApi */
export interface ParticipantRegistration {
  /** At most 200 characters. */
  readonly name: string;
  /** At most 2,000 characters. */
  readonly address: string;
  /** Further details that its callers need. They survive JSON, and have at most 64 KiB. */
  readonly details: unknown;
}

/** A registration, as the log holds it. @publicApi */
export interface LoggedRegistration extends ParticipantRegistration {
  /** From 1 and rising with each change of any registration of this coordinator. */
  readonly revision: number;
  readonly isRemoved: boolean;
}

/** Whether several members may write a log. @publicApi */
export function isSharedLog(log: DecisionLog): log is SharedDecisionLog {
  return 'members' in log && typeof log.members === 'object' && log.members !== null;
}

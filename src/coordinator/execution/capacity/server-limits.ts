import { type InContext, presentContext } from '../../gate/present-context.js';
import type { ParticipantCapacity } from '../../participant/participant.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import { ServerBusyError } from '../../server-busy.error.js';
import type { CallerSignal } from '../../gate/caller-signal.js';
import type { Clock } from '../clock.js';
import { QueueAhead } from './queue-ahead.js';
import { type Division, type Needs, ServerLimit, type Share, UNDIVIDED } from './server-limit.js';
import { hasRoom, hasSlots, loadAt, needsOf, settle, slotsAt } from './server-needs.js';
import type { TransactionRecord } from '../records.js';

/** The longest wait of a transaction, as a part of its time, so that the rest is enough to run it. */
const LONGEST_WAIT = 1 / 4;
/**
 * A transaction whose expected wait exceeds this part of that limit is refused at once: the server may become
 * slower meanwhile.
 */
const LIKELY_WAIT = 1 / 4;
/**
 * The part of the queue that is open to all, however slow the server is. Callers that are refused at once and
 * come back at once take processor time from the others; waiting callers do not.
 */
const OPEN_TO_ALL = 1 / 2;

/** A transaction that has not started and waits for room at its servers. */
interface Waiting {
  readonly transaction: TransactionRecord;
  readonly needs: Needs;
  readonly until: number;
  readonly begin: () => void;
  readonly refuse: (error: Error) => void;
  /** Runs something in the asynchronous context of the caller. */
  readonly inContext: InContext;
}

/** The result for a transaction that wants to start. */
export interface Candidate {
  readonly transaction: TransactionRecord;
  readonly signal: CallerSignal | undefined;
  /** It was begun before, so it does not wait behind others while the server has slots. */
  readonly isRerun: boolean;
  /** There is room for it. */
  readonly begin: () => void;
  /** Nothing was started, and nothing will be. */
  readonly refuse: (error: Error) => void;
  /** Its caller has cancelled while it waited. */
  readonly cancel: () => void;
}

interface LimitsParts {
  readonly clock: Clock;
  /** The most transactions that may wait for one server; undefined for as many as it takes. */
  readonly maxQueued: number | undefined;
  /** Whether any transaction may start, if there is room. */
  readonly isOpen: () => boolean;
  /** @throws the reason why this waiting transaction may not start now. */
  readonly check: (transaction: TransactionRecord) => void;
  /** @throws the reason why it may not start any more, since a participant has fallen silent. */
  readonly checkNewSilence: (transaction: TransactionRecord) => void;
  /** Counts a refusal. */
  readonly refused: (error: ServerBusyError) => Error;
}

/**
 * Starts no more transactions than the database servers can take, and lets the next few wait in the order of
 * arrival. A refused transaction has started nothing. Completion and recovery do not ask here.
 */
export class ServerLimits {
  private readonly byServer = new Map<string, ServerLimit>();
  private readonly queue = new Set<Waiting>();
  private isServing = false;
  private divisionOf: (limit: ServerLimit) => Division = () => UNDIVIDED;

  constructor(private readonly parts: LimitsParts) {}

  get all(): Iterable<ServerLimit> {
    return this.byServer.values();
  }

  /** Whether there is any limit. */
  get isActive(): boolean {
    return this.byServer.size > 0;
  }

  /** The number of waiting transactions. */
  get queued(): number {
    return this.queue.size;
  }

  /** Whether a transaction waits, and has not begun. */
  isWaiting(id: string): boolean {
    for (const { transaction } of this.queue) if (transaction.id === id) return true;
    return false;
  }

  /** @returns the limit of a participant's server. One limit serves all participants on that server. */
  limit({ name }: RegisteredParticipant, capacity: ParticipantCapacity): ServerLimit {
    const { server, preparedTransactions, preparedTransactionsInUse } = capacity;
    let limit = this.byServer.get(server);
    if (limit === undefined) {
      limit = new ServerLimit(server, preparedTransactions, preparedTransactionsInUse);
      this.byServer.set(server, limit);
    }
    if (!limit.participants.has(name))
      limit.addConnections(capacity.workConnections, capacity.ownConnections);
    limit.connections = capacity.connections;
    limit.participants.add(name);
    limit.divide(this.divisionOf(limit));
    return limit;
  }

  /** From now on the slots of each server are divided as is said, until it is said again. */
  divide(divisionOf: (limit: ServerLimit) => Division): void {
    this.divisionOf = divisionOf;
    let isChanged = false;
    for (const limit of this.byServer.values()) isChanged = limit.divide(divisionOf(limit)) || isChanged;
    if (isChanged) this.serve();
  }

  /**
   * The server of a limit has answered again, so some waiting transactions may have room.
   *
   * @param own how many of its slots may belong to branches in progress here.
   */
  askedAgain(limit: ServerLimit, capacity: ParticipantCapacity, own: number): void {
    limit.askedAgain(capacity.preparedTransactions, capacity.preparedTransactionsInUse, own);
    this.serve();
  }

  /**
   * Starts a transaction now, or when there is room for it, or refuses it.
   *
   * @throws ServerBusyError when the queue is full.
   */
  admit(candidate: Candidate): void {
    const { transaction, begin, isRerun } = candidate;
    const needs = needsOf(transaction);
    if (isRerun ? hasSlots(needs) : this.mayBegin(needs)) {
      this.take(transaction, needs, false);
      begin();
      return;
    }
    this.wait(candidate, needs);
  }

  /**
   * Adds a branch to a transaction that was begun.
   *
   * @throws ServerBusyError when there is no room for it; a caller cannot wait here.
   */
  takeOne(transaction: TransactionRecord, { server }: RegisteredParticipant): void {
    const limit = server as ServerLimit | undefined;
    if (limit === undefined) return;
    const shares = transaction.extras?.shares;
    const isRoom =
      shares !== undefined && shares.size > 0 ? limit.hasSlots(1) : this.mayBegin(new Map([[limit, 1]]));
    if (!isRoom) throw this.busy(limit);
    this.take(transaction, new Map([[limit, 1]]), true);
  }

  /** Called before the first branch of a transaction is asked to prepare. */
  putToWork(transaction: TransactionRecord): void {
    const { extras } = transaction;
    if (extras?.shares === undefined || extras.isAtWork) return;
    extras.isAtWork = true;
    for (const [limit, share] of extras.shares) settle(limit, share, share.load, share.load);
  }

  /**
   * Updates a transaction's use of the servers from its state. Called after each event that may change it, in
   * any order of events.
   */
  keep(transaction: TransactionRecord): void {
    const { extras } = transaction;
    if (extras?.shares === undefined || extras.shares.size === 0) return;
    for (const [limit, share] of extras.shares) {
      const load = loadAt(transaction, limit, share);
      settle(limit, share, load, extras.isAtWork ? load : 0);
    }
    this.wake();
  }

  /** The transaction has ended or stalled: only its open branches hold slots. */
  release(transaction: TransactionRecord): void {
    const shares = transaction.extras?.shares;
    if (shares === undefined || shares.size === 0) return;
    const now = this.parts.clock.now();
    for (const [limit, share] of shares) {
      const freed = share.slots - slotsAt(transaction, limit, share);
      if (freed === 0) continue;
      share.slots -= freed;
      limit.free(freed, now);
    }
    this.keep(transaction);
    for (const [limit, { slots }] of shares) if (slots === 0) shares.delete(limit);
  }

  /** There may be room for waiting transactions: first for those that are running. */
  private wake(): void {
    for (const limit of this.byServer.values()) {
      if (!limit.isBusy) for (const wake of limit.onIdle.values()) wake();
    }
    this.serve();
  }

  /** Refuses transactions that have waited long enough, and all of them while none may start. */
  sweep(now: number): void {
    if (!this.parts.isOpen()) {
      this.close();
      return;
    }
    for (const waiting of this.queue) {
      if (waiting.until > now) continue;
      this.leave(waiting);
      waiting.refuse(this.busy(scarcest(waiting.needs)));
    }
    this.serve();
  }

  /** A participant has fallen silent: transactions that would wait for it do not wait here before that. */
  refuseSilent(): void {
    for (const waiting of this.queue) {
      try {
        this.parts.checkNewSilence(waiting.transaction);
      } catch (error) {
        this.leave(waiting);
        waiting.inContext(() => waiting.refuse(error as Error));
      }
    }
  }

  /** Starts nothing more: each waiting caller gets the reason. */
  close(): void {
    for (const waiting of this.queue) {
      this.leave(waiting);
      waiting.inContext(() => {
        try {
          this.parts.check(waiting.transaction);
          // No caller is left without an answer, whatever the check says now.
          waiting.refuse(this.busy([...waiting.needs.keys()][0]!));
        } catch (error) {
          waiting.refuse(error as Error);
        }
      });
    }
  }

  private wait({ transaction, signal, begin, refuse, cancel }: Candidate, needs: Needs): void {
    const now = this.parts.clock.now();
    const until = transaction.startedAt + (transaction.deadlineAt - transaction.startedAt) * LONGEST_WAIT;
    for (const [limit, slots] of needs) {
      const longest = this.parts.maxQueued ?? limit.transactions;
      if (limit.queued >= longest) throw this.busy(limit);
      const isLong = limit.expectedWaitMs(slots, now) > (until - now) * LIKELY_WAIT;
      if (isLong && limit.queued >= longest * OPEN_TO_ALL) throw this.busy(limit);
    }
    const waiting: Waiting = {
      transaction,
      needs,
      until,
      begin: () => {
        this.take(transaction, needs, false);
        begin();
      },
      refuse: (error) => {
        signal?.stop();
        refuse(error);
      },
      inContext: presentContext(),
    };
    const onAbort = (): void => {
      this.leave(waiting);
      cancel();
      this.serve();
    };
    this.queue.add(waiting);
    for (const [limit, slots] of needs) limit.enqueue(slots, now);
    signal?.tell(onAbort);
  }

  /** Starts the transactions that have room. None overtakes another that needs the same server. */
  private serve(): void {
    if (this.queue.size === 0 || this.isServing) return;
    this.isServing = true;
    const ahead = new QueueAhead();
    try {
      for (const waiting of this.queue) {
        if (ahead.admits(waiting.needs)) this.start(waiting, waiting.begin);
        else if (ahead.blocks(this.byServer.values())) return;
      }
    } finally {
      this.isServing = false;
    }
  }

  private start(waiting: Waiting, begin: () => void): void {
    this.leave(waiting);
    waiting.inContext(() => {
      try {
        this.parts.check(waiting.transaction);
        begin();
      } catch (error) {
        waiting.refuse(error as Error);
      }
    });
  }

  private leave(waiting: Waiting): void {
    if (!this.queue.delete(waiting)) return;
    for (const [limit, slots] of waiting.needs) limit.dequeue(slots);
  }

  /** Whether a new transaction may start without overtaking a waiting one. */
  private mayBegin(needs: Needs): boolean {
    if (!hasRoom(needs)) return false;
    if ([...needs.keys()].every(({ queued }) => queued === 0)) return true;
    const ahead = new QueueAhead();
    for (const waiting of this.queue) {
      // A transaction that may start is about to, and takes room that is not counted here yet.
      if (ahead.admits(waiting.needs) || ahead.blocks(needs.keys())) return false;
    }
    return ahead.admits(needs);
  }

  /** @param isIdle whether its caller has yet to start its work. */
  private take(transaction: TransactionRecord, needs: Needs, isIdle: boolean): void {
    if (needs.size === 0) return;
    const extras = transaction.needExtras();
    extras.shares ??= new Map<ServerLimit, Share>();
    for (const [limit, count] of needs) {
      limit.take(count);
      let share = extras.shares.get(limit);
      if (share === undefined) extras.shares.set(limit, (share = { slots: 0, load: 0, atWork: 0 }));
      share.slots += count;
      settle(limit, share, isIdle ? 0 : count, 0);
    }
  }

  private busy(limit: ServerLimit): Error {
    const waitMs = limit.expectedWaitMs(limit.participants.size, this.parts.clock.now());
    return this.parts.refused(new ServerBusyError([...limit.participants], limit.limit, waitMs));
  }
}

/** @returns the server for which a transaction waits; of several, the one with the longest queue. */
function scarcest(needs: Needs): ServerLimit {
  const limits = [...needs.keys()];
  const lacking = limits.filter((limit) => !limit.hasRoom(needs.get(limit)!));
  const [limit] = (lacking.length > 0 ? lacking : limits).toSorted((one, other) => other.queued - one.queued);
  return limit!;
}

import type { Logger } from '@nestjs/common';
import type { PoolClient } from 'pg';
import {
  type AbortVote,
  type Branch,
  type CoordinatorRun,
  type PreparedBranch,
  refuse,
} from '../../coordinator/index.js';
import type { NameLock } from './claim-sessions.js';
import { lockName } from './coordinator-lock.js';
import { prefixOf, runOf } from './coordinator-run.js';
import { PostgresStartUpError } from './errors.js';
import { type Lane, destroy, unlessAborted } from './lane.js';
import { checkLog, isOfOtherLog } from './log-check.js';
import type { ResolvedPostgresSettings } from './options.js';

const GOODBYE_MS = 1_000;

/** How long the session of the claim may take to answer, before it is taken for lost. */
const ANSWER_MS = 2_000;

/** How long whoever else holds the name is waited for at most when it is not the start: branches wait as well. */
const SHORT_WAIT_MS = 200;

/** How long a refusal stands before it is asked again. */
const REFUSED_FOR_MS = 1_000;

/**
 * Who works in this database under the name of a coordinator, for one participant. Of two processes of one name, each with
 * a decision log of its own, one would take what the other has prepared for its orphans. So a process holds a lock on the
 * name for as long as it lives, and its epoch tells whether what is prepared is of its own log.
 */
export class CoordinatorClaim {
  /** The run that this process works for, as far as it is known. */
  private run: CoordinatorRun | undefined;
  /** What the ids begin with that the claim covers; undefined without one. */
  private prefix: string | undefined;
  private heldBefore: string | undefined;
  private lock: NameLock | undefined;
  /** The session that holds the lock, unless that is another claim's of this process. */
  private session: PoolClient | undefined;
  private underWay:
    { readonly prefix: string; readonly waitMs: number; readonly done: Promise<void> } | undefined;
  private refused:
    { readonly prefix: string; readonly until: number; readonly error: PostgresStartUpError } | undefined;
  private leftOut = 0;
  /** Aborted when the name is given back for good. */
  private readonly end = new AbortController();

  constructor(
    private readonly participant: string,
    private readonly lane: Lane,
    private readonly settings: ResolvedPostgresSettings,
    private readonly logger: Logger,
  ) {}

  /** Whether the name is held for the run that a transaction is of. */
  covers(transactionId: string): boolean {
    return this.prefix !== undefined && transactionId.startsWith(this.prefix);
  }

  /**
   * Holds the name of the coordinator from now on, if it does not already.
   *
   * @param waitMs how long another process that holds it is waited for. @default claimWaitMs
   * @throws PostgresStartUpError (`DTC_POSTGRES_COORDINATOR_IN_USE`, `DTC_POSTGRES_OTHER_LOG`) when another process has it,
   * or has left branches behind that this one would take for its own.
   */
  hold(run: CoordinatorRun, waitMs = this.settings.claimWaitMs): Promise<void> {
    const prefix = prefixOf(run);
    const { underWay } = this;
    if (underWay?.prefix === prefix && underWay.waitMs >= waitMs) return underWay.done;
    const done = this.claim(run, prefix, waitMs, underWay?.done);
    this.underWay = { prefix, waitMs, done };
    const forget = (): void => {
      if (this.underWay?.done === done) this.underWay = undefined;
    };
    done.then(forget, forget);
    return done;
  }

  /**
   * Holds the name of the coordinator that a branch is of.
   *
   * @returns why nothing of that coordinator is prepared here, if that is so.
   * @throws what stands in the way of finding out.
   */
  async admit({ transactionId, run, signal }: Branch): Promise<AbortVote | undefined> {
    if (runOf(transactionId) === undefined) return undefined;
    const { refused } = this;
    if (refused?.prefix === prefixOf(run) && performance.now() < refused.until)
      return refusalBy(refused.error);
    try {
      await unlessAborted(signal, () => this.hold(run, this.shortWaitMs));
      return undefined;
    } catch (error) {
      if (error instanceof PostgresStartUpError) return refusalBy(error);
      throw error;
    }
  }

  /**
   * Holds the name again, where it was refused before or the session that held it was lost. A connection that is dead
   * says nothing of it: so the session is asked.
   *
   * @throws as {@link hold}.
   */
  async renew(): Promise<void> {
    await this.check();
    if (this.run !== undefined && this.prefix === undefined) await this.hold(this.run, this.shortWaitMs);
  }

  /** @returns the branches without those that were prepared under another log: what that has decided nobody here knows. */
  ownOnly(branches: readonly PreparedBranch[]): readonly PreparedBranch[] {
    const { run } = this;
    // Without a durable log the coordinator concludes nothing, and reports them.
    if (run === undefined || !run.durable) return branches;
    const own = branches.filter(({ transactionId }) => !isOfOtherLog(transactionId, run));
    const leftOut = branches.length - own.length;
    if (leftOut > 0 && leftOut !== this.leftOut) {
      this.logger.warn(
        `"${this.participant}" has ${leftOut} branches that were prepared under another decision log of ` +
          `"${run.name}": they are left alone, and somebody has to decide them by hand`,
      );
    }
    this.leftOut = leftOut;
    return own;
  }

  /** Gives the name back for good. What is under way ends, so that it leaves no connection outside of its pool. */
  async close(): Promise<void> {
    this.end.abort(new Error('The coordinator gives its name back.'));
    await this.underWay?.done.catch(ignore);
    await this.release();
  }

  private async release(): Promise<void> {
    const { session } = this;
    this.forget();
    if (session === undefined) return;
    try {
      await unlessAborted(AbortSignal.timeout(GOODBYE_MS), () =>
        session.query('SELECT pg_advisory_unlock_all()'),
      );
      session.release(true);
    } catch {
      destroy(session);
    }
  }

  private async claim(
    run: CoordinatorRun,
    prefix: string,
    waitMs: number,
    before: Promise<void> | undefined,
  ): Promise<void> {
    await before?.catch(ignore);
    this.run = run;
    if (this.prefix === prefix) return;
    await this.release();
    const limit = AbortSignal.timeout(this.settings.startTimeoutMs + waitMs);
    const signal = AbortSignal.any([limit, this.end.signal]);
    const client = await this.lane.acquire(signal);
    client.on('error', ignore);
    try {
      const lock = await unlessAborted(signal, () => lockName(client, run, this.participant, waitMs));
      if (run.durable) {
        await unlessAborted(signal, () =>
          checkLog(client, run, this.participant, prefix !== this.heldBefore),
        );
      }
      signal.throwIfAborted();
      this.keep(lock, prefix, client);
    } catch (error) {
      destroy(client);
      if (error instanceof PostgresStartUpError) {
        this.refused = { prefix, until: performance.now() + REFUSED_FOR_MS, error };
      }
      throw error;
    }
  }

  /** Should the session that holds the lock be lost, the name is claimed anew before the next branch is prepared. */
  private keep(lock: NameLock, prefix: string, client: PoolClient): void {
    this.prefix = prefix;
    this.heldBefore = prefix;
    this.refused = undefined;
    this.lock = lock;
    const isOwn = lock.letGo !== undefined;
    if (isOwn) this.session = client;
    else client.release(true);
    const lose = (): void => {
      if (this.lock !== lock) return;
      this.forget();
      if (isOwn) client.release(true);
    };
    lock.over.addEventListener('abort', lose, { once: true });
    if (lock.over.aborted) lose();
  }

  private forget(): void {
    const { lock } = this;
    this.prefix = undefined;
    this.session = undefined;
    this.lock = undefined;
    lock?.letGo?.();
  }

  /** Whatever lies between may have dropped the connection without a word: without an answer the session is lost. */
  private async check(): Promise<void> {
    const { session } = this;
    if (session === undefined) return;
    try {
      await unlessAborted(AbortSignal.timeout(ANSWER_MS), () => session.query('SELECT 1'));
    } catch {
      if (this.session !== session) return;
      this.forget();
      destroy(session);
    }
  }

  private get shortWaitMs(): number {
    return Math.min(this.settings.claimWaitMs, SHORT_WAIT_MS);
  }
}

function refusalBy({ code, message }: PostgresStartUpError): AbortVote {
  return refuse(code, message);
}

function ignore(): void {}

import type { Logger } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { type AbortVote, type Branch, type PreparedBranch, refuse } from '../../coordinator/index.js';
import { lockName } from './coordinator-lock.js';
import { type CoordinatorRun, prefixOf, runOf } from './coordinator-run.js';
import { PostgresStartUpError } from './errors.js';
import type { GuardTable } from './guard-table.js';
import { type Lane, destroy, unlessAborted } from './lane.js';
import { checkLog, isOfOtherLog } from './log-check.js';
import type { ResolvedPostgresSettings } from './options.js';

const GOODBYE_MS = 1_000;

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
  private session: PoolClient | undefined;
  private underWay: { readonly prefix: string; readonly done: Promise<void> } | undefined;
  private leftOut = 0;

  constructor(
    private readonly participant: string,
    private readonly lane: Lane,
    private readonly guard: GuardTable,
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
   * @throws PostgresStartUpError (`DTC_POSTGRES_COORDINATOR_IN_USE`, `DTC_POSTGRES_OTHER_LOG`) when another process has it,
   * or has left branches behind that this one would take for its own.
   */
  hold(run: CoordinatorRun): Promise<void> {
    const prefix = prefixOf(run);
    const { underWay } = this;
    if (underWay?.prefix === prefix) return underWay.done;
    const done = this.claim(run, prefix, underWay?.done);
    this.underWay = { prefix, done };
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
  async admit({ transactionId, signal }: Branch): Promise<AbortVote | undefined> {
    const run = runOf(transactionId);
    if (run === undefined) return undefined;
    try {
      await unlessAborted(signal, () => this.hold(run));
      return undefined;
    } catch (error) {
      if (error instanceof PostgresStartUpError) return refuse(error.code, error.message);
      throw error;
    }
  }

  /** Holds the name again, where it was refused before or the session that held it was lost. @throws as {@link hold}. */
  async renew(): Promise<void> {
    if (this.run !== undefined && this.prefix === undefined) await this.hold(this.run);
  }

  /** @returns the branches without those that were prepared under another log: what that has decided nobody here knows. */
  ownOnly(branches: readonly PreparedBranch[]): readonly PreparedBranch[] {
    const { run } = this;
    // Without a durable log the coordinator concludes nothing, and reports them.
    if (run === undefined || run.durable === false) return branches;
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

  /** Gives the name back. */
  async release(): Promise<void> {
    const { session } = this;
    this.prefix = undefined;
    this.session = undefined;
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
    given: CoordinatorRun,
    prefix: string,
    before: Promise<void> | undefined,
  ): Promise<void> {
    await before?.catch(ignore);
    const isSame = this.run !== undefined && prefixOf(this.run) === prefix;
    const run = { ...given, durable: given.durable ?? (isSame ? this.run?.durable : undefined) };
    this.run = run;
    if (this.prefix === prefix) return;
    await this.release();
    const { claimWaitMs, startTimeoutMs } = this.settings;
    const signal = AbortSignal.timeout(startTimeoutMs + claimWaitMs);
    const client = await this.lane.acquire(signal);
    client.on('error', ignore);
    try {
      const isHeld = await unlessAborted(signal, () => lockName(client, run, this.participant, claimWaitMs));
      if (run.durable === true) {
        await unlessAborted(signal, () =>
          checkLog(client, run, this.participant, this.guard, prefix !== this.heldBefore),
        );
      }
      this.prefix = prefix;
      this.heldBefore = prefix;
      if (isHeld) this.keep(client);
      else client.release(true);
    } catch (error) {
      destroy(client);
      throw error;
    }
  }

  /** Should the session be lost, the name is claimed anew before the next branch is prepared. */
  private keep(client: PoolClient): void {
    this.session = client;
    client.once('end', () => {
      if (this.session !== client) return;
      this.session = undefined;
      this.prefix = undefined;
      client.release(true);
    });
  }
}

function ignore(): void {}

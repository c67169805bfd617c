import type { Logger } from '@nestjs/common';
import {
  type AbortVote,
  type Branch,
  type CoordinatorRun,
  type IsOwnRun,
  idPrefixOf,
  originOf,
  refuse,
} from '../../coordinator/index.js';
import { keyOfRun } from '../../sql/claim.js';
import { ClaimSession } from './session.js';
import { type HeldName, lockName } from './lock.js';
import { PostgresStartUpError } from '../errors.js';
import { type Lane, unlessAborted } from '../connection/lane.js';
import { checkLog } from './log-check.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { RunTable } from './run-table.js';

/** How long the session of the claim may take to answer, before it is taken for lost. */
const ANSWER_MS = 2_000;

/** How long another process that holds the name is waited for at most when it is not the start: branches wait as well. */
const SHORT_WAIT_MS = 200;

/** How long a refusal stands before it is asked again. */
const REFUSED_FOR_MS = 1_000;

/** A run, and how its log is asked about others. */
interface Claimant {
  readonly run: CoordinatorRun;
  readonly isOwnRun: IsOwnRun | undefined;
}

/**
 * Which run of a coordinator works in this database under its name, for one participant. Of two processes of one name, each
 * with a decision log of its own, or a copy of one, one would take what the other has prepared for its orphans. So a process
 * holds a lock on the name for as long as it lives, and the database keeps which run it has let in.
 */
export class CoordinatorClaim {
  private readonly runs: RunTable;
  /** The run that this process works for, as far as it is known. */
  private claimant: Claimant | undefined;
  /** What the ids begin with that the claim covers; undefined without one. */
  private prefix: string | undefined;
  private name: HeldName | undefined;
  /** The session that holds the name, unless that is another claim's of this process. */
  private session: ClaimSession | undefined;
  private underWay:
    { readonly key: string; readonly waitMs: number; readonly done: Promise<void> } | undefined;
  private refused:
    { readonly key: string; readonly until: number; readonly error: PostgresStartUpError } | undefined;
  /** Aborted when the name is given back for good. */
  private readonly end = new AbortController();

  constructor(
    private readonly participant: string,
    private readonly lane: Lane,
    private readonly settings: ResolvedPostgresSettings,
    private readonly logger: Logger,
  ) {
    this.runs = new RunTable(participant, settings);
  }

  /** Whether the name is held for the run that a transaction is of. */
  covers(transactionId: string): boolean {
    return this.prefix !== undefined && transactionId.startsWith(this.prefix);
  }

  /**
   * Holds the name of the coordinator from now on, if it does not already.
   *
   * @param isOwnRun asks the log of the run. Left out, it is the one that was given for the same run before.
   * @param waitMs how long another process that holds it is waited for. @default claimWaitMs
   * @throws PostgresStartUpError (`DTC_POSTGRES_COORDINATOR_IN_USE`, `DTC_POSTGRES_OTHER_LOG`, `DTC_LOG_COPIED`) when another
   * process has it, or the log is not the one that the name was used with here.
   */
  hold(run: CoordinatorRun, isOwnRun?: IsOwnRun, waitMs = this.settings.claimWaitMs): Promise<void> {
    const key = keyOfRun(run);
    const { underWay } = this;
    if (underWay?.key === key && underWay.waitMs >= waitMs) return underWay.done;
    const done = this.claim(run, isOwnRun, waitMs, underWay?.done);
    this.underWay = { key, waitMs, done };
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
    if (originOf(transactionId) === undefined || !transactionId.startsWith(idPrefixOf(run))) return undefined;
    const { refused } = this;
    if (refused?.key === keyOfRun(run) && performance.now() < refused.until) return refusalBy(refused.error);
    try {
      await unlessAborted(signal, () => this.hold(run, undefined, this.shortWaitMs));
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
    if (this.claimant !== undefined && this.prefix === undefined)
      await this.hold(this.claimant.run, undefined, this.shortWaitMs);
  }

  /** Gives the name back for good. What is under way ends, so that it leaves no connection outside of its pool. */
  async close(): Promise<void> {
    this.end.abort(new Error('The coordinator gives its name back.'));
    await this.underWay?.done.catch(ignore);
    await this.release();
  }

  private async release(): Promise<void> {
    const { session, name } = this;
    this.prefix = undefined;
    this.session = undefined;
    this.name = undefined;
    await name?.letGo();
    await session?.leave();
  }

  private async claim(
    run: CoordinatorRun,
    isOwnRun: IsOwnRun | undefined,
    waitMs: number,
    before: Promise<void> | undefined,
  ): Promise<void> {
    await before?.catch(ignore);
    const known = this.claimant;
    const isSame = known !== undefined && keyOfRun(known.run) === keyOfRun(run);
    const claimant = { run, isOwnRun: isOwnRun ?? (isSame ? known.isOwnRun : undefined) };
    this.claimant = claimant;
    if (isSame && this.prefix !== undefined) return;
    await this.release();
    const limit = AbortSignal.timeout(this.settings.startTimeoutMs + waitMs);
    const signal = AbortSignal.any([limit, this.end.signal]);
    const session = await ClaimSession.join(this.lane, run, this.participant, signal);
    let name: HeldName | undefined;
    try {
      name = await lockName(session, run, this.participant, waitMs, signal);
      // Without a durable log the id of the log is a new one at each start, and nothing is taken for an orphan.
      if (run.durable) await checkLog(session, run, claimant.isOwnRun, this.participant, this.runs, signal);
      signal.throwIfAborted();
      if (!name.isOfSibling) return this.keep(session, name, run);
      await session.leave();
      this.keep(undefined, name, run);
    } catch (error) {
      await name?.letGo();
      await session.leave();
      if (error instanceof PostgresStartUpError) {
        this.refused = { key: keyOfRun(run), until: performance.now() + REFUSED_FOR_MS, error };
      }
      throw error;
    }
  }

  /** Should the session that holds the name be lost, it is claimed anew before the next branch is prepared. */
  private keep(session: ClaimSession | undefined, name: HeldName, run: CoordinatorRun): void {
    this.prefix = idPrefixOf(run);
    this.refused = undefined;
    this.session = session;
    this.name = name;
    const lose = (): void => {
      if (this.name !== name) return;
      this.logger.debug(`"${this.participant}" has lost the session that held its claim`);
      void this.release();
    };
    name.over.addEventListener('abort', lose, { once: true });
    if (name.over.aborted) lose();
  }

  /** Whatever lies between may have dropped the connection without a word: without an answer the session is lost. */
  private async check(): Promise<void> {
    const { session } = this;
    if (session === undefined) return;
    try {
      await session.query(AbortSignal.timeout(ANSWER_MS), 'SELECT 1');
    } catch {
      session.cut();
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

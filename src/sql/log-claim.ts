import { endInTurn } from '../coordinator/end-all.js';
import type { AbortVote, CoordinatorRun, IsOwnRun } from '../coordinator/participant/participant.js';
import { refuse } from '../coordinator/participant/participant.js';
import { idPrefixOf } from '../coordinator/protocol/index.js';
import { keyOfRun } from './claim.js';
import type { ClaimDatabase, ClaimRefusal, HeldName, NameSession } from './claim-database.js';
import { unlessAborted } from './unless-aborted.js';

/** How long the session of the claim may take to answer before it counts as lost. */
const ANSWER_MS = 2_000;

/**
 * The longest wait for another process that holds the name, except at the start. It is short because branches
 * wait as well.
 */
const SHORT_WAIT_MS = 200;

/** How long a refusal is repeated without asking again. */
const REFUSED_FOR_MS = 1_000;

/** A run, and the way to ask its log about other runs. */
interface Claimant {
  readonly run: CoordinatorRun;
  readonly isOwnRun: IsOwnRun | undefined;
}

/**
 * The claim of one decision log: which of its runs works in this database under the name of its coordinator,
 * for one participant. If two processes of one name each had a decision log of its own, or a copy of one,
 * either would take the other's prepared branches for its own orphans. So a process holds a lock on the name
 * while it lives, and the database stores which run of each log it has accepted.
 */
export class LogClaim<S extends NameSession = NameSession> {
  /** The number of its last use among those of all claims of the participant. */
  lastUse = 0;
  /** The latest accepted run, and the latest run that has asked. */
  private claimant: Claimant | undefined;
  private asked: Claimant | undefined;
  /** The prefix of the ids that the claim covers; undefined without a claim. */
  private prefix: string | undefined;
  private name: HeldName | undefined;
  /** The session that holds the name, unless another claim of this process owns it. */
  private session: S | undefined;
  private underWay:
    { readonly key: string; readonly waitMs: number; readonly done: Promise<void> } | undefined;
  private refused: { readonly key: string; readonly until: number; readonly error: ClaimRefusal } | undefined;
  /** Aborted when the name is released permanently. */
  private readonly end = new AbortController();

  constructor(
    readonly logId: string,
    private readonly database: ClaimDatabase<S>,
  ) {}

  /** Whether it holds nothing, and is not trying to. */
  get isIdle(): boolean {
    return this.prefix === undefined && this.underWay === undefined;
  }

  /**
   * Whether it holds a claim whose run may have ended without a trace: its log is lost with its process, or
   * it is elsewhere.
   */
  get isVolatile(): boolean {
    const run = this.claimant?.run;
    return this.prefix !== undefined && (run?.durable === false || run?.isOfHost === true);
  }

  /** Whether it holds the name for the run of a transaction. */
  covers(transactionId: string): boolean {
    return this.prefix !== undefined && transactionId.startsWith(this.prefix);
  }

  /**
   * Holds the name of the coordinator from now on, if it does not already.
   *
   * @param isOwnRun asks the log of the run. @default the function given for the same run before, but none for a host
   * @param waitMs how long to wait for another process that holds it. @default claimWaitMs
   * @throws a refusal when another process has it, or the name was used here with another log or a copy of
   * it.
   */
  hold(run: CoordinatorRun, isOwnRun?: IsOwnRun, waitMs = this.database.settings.claimWaitMs): Promise<void> {
    const key = keyOfRun(run);
    const { underWay } = this;
    if (underWay?.key === key && underWay.waitMs >= waitMs) return underWay.done;
    const done = this.claim(run, isOwnRun, waitMs, underWay?.done);
    this.underWay = { key, waitMs, done };
    const forget = (): void => {
      if (this.underWay?.done === done) this.underWay = undefined;
    };
    done.then(forget, (error: unknown) => {
      forget();
      if (!this.database.isRefusal(error)) return;
      this.refused = { key, until: performance.now() + REFUSED_FOR_MS, error };
    });
    return done;
  }

  /**
   * Holds the name of the coordinator for a branch of a run.
   *
   * @returns why no branch of that run is prepared here, if that is so.
   * @throws an error that prevents the answer.
   */
  async admit(run: CoordinatorRun, signal: AbortSignal): Promise<AbortVote | undefined> {
    const { refused } = this;
    if (refused?.key === keyOfRun(run) && performance.now() < refused.until) return refusalBy(refused.error);
    try {
      await unlessAborted(signal, () => this.hold(run, undefined, this.shortWaitMs));
      return undefined;
    } catch (error) {
      if (this.database.isRefusal(error)) return refusalBy(error);
      throw error;
    }
  }

  /**
   * Holds the name again, after a refusal or after the loss of its session. A dead connection does not report
   * its loss, so the session is asked.
   *
   * @param run the run that asks. @default the known run
   * @throws as {@link hold}.
   */
  async renew(run = (this.claimant ?? this.asked)?.run): Promise<void> {
    await this.check();
    if (run !== undefined && !this.holds(run)) await this.hold(run, undefined, this.shortWaitMs);
  }

  /**
   * Releases the name permanently. Running work ends, so that it leaves no connection outside of its pool.
   */
  async close(): Promise<void> {
    this.end.abort(new Error('The coordinator releases its name.'));
    await this.underWay?.done.catch(ignore);
    await this.release();
  }

  private async release(): Promise<void> {
    const { session, name } = this;
    this.prefix = undefined;
    this.session = undefined;
    this.name = undefined;
    await endInTurn([() => name?.letGo(), () => session?.leave()]);
  }

  private async claim(
    run: CoordinatorRun,
    isOwnRun: IsOwnRun | undefined,
    waitMs: number,
    before: Promise<void> | undefined,
  ): Promise<void> {
    await before?.catch(ignore);
    const claimant = { run, isOwnRun: isOwnRun ?? this.knownAnswersFor(run) };
    this.asked = claimant;
    if (this.holds(run)) return;
    await this.checkBefore(claimant);
    await this.release();
    const { database } = this;
    const limit = AbortSignal.timeout(database.settings.startTimeoutMs + waitMs);
    const signal = AbortSignal.any([limit, this.end.signal]);
    const session = await database.join(run, signal);
    let name: HeldName | undefined;
    try {
      name = await database.lockName(session, run, waitMs, signal);
      // Without a durable log the id of the log is new at each start, and no branch is taken for an orphan.
      if (run.durable) await database.checkLog(session, run, claimant.isOwnRun, signal);
      signal.throwIfAborted();
      this.claimant = claimant;
      if (!name.isOfSibling) return this.keep(session, name, run);
      await session.leave();
      this.keep(undefined, name, run);
    } catch (error) {
      await name?.letGo();
      await session.leave();
      throw error;
    }
  }

  /** A host knows only the answers that its coordinator has sent with a claim: for a later question it has none. */
  private knownAnswersFor(run: CoordinatorRun): IsOwnRun | undefined {
    if (run.isOfHost === true) return undefined;
    return [this.asked, this.claimant].find((one) => one && keyOfRun(one.run) === keyOfRun(run))?.isOwnRun;
  }

  /** A refused run does not end the claim of the accepted run. */
  private async checkBefore({ run, isOwnRun }: Claimant): Promise<void> {
    const { session, claimant, database } = this;
    if (this.prefix === undefined || claimant === undefined) return;
    const { epoch } = claimant.run;
    if (epoch >= run.epoch) throw database.copied(run, `start ${epoch} of the log has worked in it`);
    if (session === undefined) return;
    try {
      const limit = AbortSignal.timeout(database.settings.startTimeoutMs);
      await database.checkLog(session, run, isOwnRun, AbortSignal.any([limit, this.end.signal]));
    } catch (error) {
      // A lost session holds nothing: then the run is checked by its own session.
      if (database.isRefusal(error)) throw error;
    }
  }

  private holds(run: CoordinatorRun): boolean {
    return (
      this.prefix !== undefined &&
      this.claimant !== undefined &&
      keyOfRun(this.claimant.run) === keyOfRun(run)
    );
  }

  /**
   * If the session that holds the name is lost, the name is claimed again before the next branch is prepared.
   */
  private keep(session: S | undefined, name: HeldName, run: CoordinatorRun): void {
    this.prefix = idPrefixOf(run);
    this.refused = undefined;
    this.session = session;
    this.name = name;
    const lose = (): void => {
      if (this.name !== name) return;
      this.database.noteLoss();
      void this.release();
    };
    name.over.addEventListener('abort', lose, { once: true });
    if (name.over.aborted) lose();
  }

  /** A network device may have dropped the connection silently: without an answer the session is lost. */
  private async check(): Promise<void> {
    const { session } = this;
    if (session === undefined) return;
    try {
      await session.check(AbortSignal.timeout(ANSWER_MS));
    } catch {
      session.cut();
    }
  }

  private get shortWaitMs(): number {
    return Math.min(this.database.settings.claimWaitMs, SHORT_WAIT_MS);
  }
}

function refusalBy({ code, message }: ClaimRefusal): AbortVote {
  return refuse(code, message);
}

function ignore(): void {}

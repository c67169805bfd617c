import type { Logger } from '@nestjs/common';
import {
  type AbortVote,
  type Branch,
  type CoordinatorRun,
  type IsOwnRun,
  idPrefixOf,
  originOf,
} from '../../coordinator/index.js';
import type { Lane } from '../connection/lane.js';
import { PostgresStartUpError } from '../errors.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { LogClaim } from './claim.js';

/** Of so many logs it is kept that they have asked, besides those whose claims hold: each of these has a connection. */
const MAX_WAITING = 100;

/**
 * Which logs work in this database, for one participant: a set of claims, by the ids of the logs. Several coordinators may
 * claim the participant at the same time. Each claim has its own run, its own session and its own rules, and none ends
 * another.
 */
export class LogClaims {
  private readonly byLog = new Map<string, LogClaim>();
  private isClosed = false;

  constructor(
    private readonly participant: string,
    private readonly lane: Lane,
    private readonly settings: ResolvedPostgresSettings,
    private readonly logger: Logger,
  ) {}

  /** Whether a claim holds of the run that a transaction is of. */
  covers(transactionId: string): boolean {
    for (const claim of this.byLog.values()) if (claim.covers(transactionId)) return true;
    return false;
  }

  /**
   * Holds the claim of a run from now on, if it does not already.
   *
   * @param isOwnRun asks the log of the run. Left out, it is the one that was given for the same run before.
   * @throws PostgresStartUpError (`DTC_POSTGRES_COORDINATOR_IN_USE`, `DTC_POSTGRES_OTHER_LOG`, `DTC_LOG_COPIED`) when another
   * log has the name of the coordinator, or the log is not the one that has worked here under its id.
   */
  async hold(run: CoordinatorRun, isOwnRun?: IsOwnRun): Promise<void> {
    const claim = this.of(run);
    try {
      await claim.hold(run, isOwnRun);
    } catch (error) {
      if (!(error instanceof PostgresStartUpError) || error.code !== 'DTC_POSTGRES_POOL_TOO_SMALL')
        throw error;
      const oldest = this.oldestVolatile(claim);
      if (oldest === undefined) throw error;
      await oldest.close();
      this.byLog.delete(oldest.logId);
      await claim.hold(run, isOwnRun);
    }
  }

  /**
   * Holds the claim of the run that a branch is of.
   *
   * @returns why nothing of that run is prepared here, if that is so.
   * @throws what stands in the way of finding out.
   */
  async admit({ transactionId, run, signal }: Branch): Promise<AbortVote | undefined> {
    if (originOf(transactionId) === undefined || !transactionId.startsWith(idPrefixOf(run))) return undefined;
    return this.of(run).admit(run, signal);
  }

  /**
   * Holds the claim of a run again, where it was refused before or the session that held it was lost.
   *
   * @param run the run. @default every run that has asked: each of them is then to be let in
   * @throws as {@link hold}.
   */
  async renew(run?: CoordinatorRun): Promise<void> {
    const claims = run === undefined ? [...this.byLog.values()] : [this.of(run)];
    await Promise.all(claims.map((claim) => claim.renew(run)));
  }

  /** Gives all claims back for good. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([...this.byLog.values()].map((claim) => claim.close()));
  }

  private of({ logId }: CoordinatorRun): LogClaim {
    const known = this.byLog.get(logId);
    if (known !== undefined) return known;
    const waiting = [...this.byLog.values()].filter(({ isIdle }) => isIdle);
    if (waiting.length >= MAX_WAITING) this.byLog.delete(waiting[0]!.logId);
    const claim = new LogClaim(logId, this.participant, this.lane, this.settings, this.logger);
    this.byLog.set(logId, claim);
    // It holds nothing, and is refused whatever it asks for from now on.
    if (this.isClosed) void claim.close();
    return claim;
  }

  /**
   * The log of a coordinator in memory has a new id at each start, and nothing says when the one before has ended. When its
   * connection is needed, its claim is given back. Were it alive, its
   * next branch would claim it anew.
   */
  private oldestVolatile(except: LogClaim): LogClaim | undefined {
    return [...this.byLog.values()].find((claim) => claim !== except && claim.isVolatile);
  }
}

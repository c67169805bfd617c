import type { Logger } from '@nestjs/common';
import type {
  AbortVote,
  Branch,
  CoordinatorRun,
  IsOwnRun,
} from '../../coordinator/participant/participant.js';
import { idPrefixOf, originOf } from '../../coordinator/protocol/index.js';
import { type ConnectionPool, unlessAborted } from '../connection/connection-pool.js';
import { PostgresStartUpError, type PostgresStartUpErrorCode } from '../errors.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { LogClaim } from './claim.js';

/**
 * The most logs that are remembered as having asked, besides those with a claim, each of which has a
 * connection.
 */
const MAX_WAITING = 100;

/** The code of the refusal of a claim for which the pool has no connection. */
const TOO_SMALL = 'DTC_POSTGRES_POOL_TOO_SMALL' satisfies PostgresStartUpErrorCode;

/**
 * The logs that work in this database for one participant: a set of claims, by the ids of the logs. Several
 * coordinators may claim the participant at the same time. Each claim has its own run, session and rules, and
 * none ends another.
 */
export class LogClaims {
  private readonly byLog = new Map<string, LogClaim>();
  private uses = 0;
  private isClosed = false;

  constructor(
    private readonly participant: string,
    private readonly connections: ConnectionPool,
    private readonly settings: ResolvedPostgresSettings,
    private readonly logger: Logger,
  ) {}

  /** Whether a claim covers the run of a transaction. */
  covers(transactionId: string): boolean {
    for (const claim of this.byLog.values()) {
      if (!claim.covers(transactionId)) continue;
      claim.lastUse = ++this.uses;
      return true;
    }
    return false;
  }

  /**
   * Holds the claim of a run from now on, if it does not already.
   *
   * @param isOwnRun asks the log of the run. @default the function given for the same run before
   * @throws PostgresStartUpError (`DTC_POSTGRES_COORDINATOR_IN_USE`, `DTC_POSTGRES_OTHER_LOG`,
   * `DTC_LOG_COPIED`) when another log has the name of the coordinator, or a different log has worked here
   * under the same id.
   */
  async hold(run: CoordinatorRun, isOwnRun?: IsOwnRun): Promise<void> {
    const claim = this.of(run);
    try {
      await claim.hold(run, isOwnRun);
    } catch (error) {
      if (!(error instanceof PostgresStartUpError) || error.code !== TOO_SMALL) throw error;
      const idlest = this.leastUsedVolatile(claim);
      if (idlest === undefined) throw error;
      await idlest.close();
      this.forget(idlest);
      await claim.hold(run, isOwnRun);
    }
  }

  /**
   * Holds the claim of the run of a branch.
   *
   * @returns why no branch of that run is prepared here, if that is so.
   * @throws an error that prevents the answer.
   */
  async admit({ transactionId, run, signal }: Branch): Promise<AbortVote | undefined> {
    if (originOf(transactionId) === undefined || !transactionId.startsWith(idPrefixOf(run))) return undefined;
    const refusal = await this.of(run).admit(run, signal);
    if (refusal?.code !== TOO_SMALL || this.leastUsedVolatile(this.of(run)) === undefined) return refusal;
    try {
      await unlessAborted(signal, () => this.hold(run));
      return undefined;
    } catch (error) {
      if (error instanceof PostgresStartUpError) return refusal;
      throw error;
    }
  }

  /**
   * Holds the claim of a run again, after a refusal or after the loss of its session.
   *
   * @param run the run. @default every run that has asked; all of them must then be accepted
   * @throws as {@link hold}.
   */
  async renew(run?: CoordinatorRun): Promise<void> {
    const claims = run === undefined ? [...this.byLog.values()] : [this.of(run)];
    await Promise.all(claims.map((claim) => claim.renew(run)));
  }

  /** Releases all claims permanently. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([...this.byLog.values()].map((claim) => claim.close()));
  }

  private of(run: CoordinatorRun): LogClaim {
    const { logId } = run;
    const key = keyOf(run);
    const known = this.byLog.get(key);
    if (known !== undefined) {
      known.lastUse = ++this.uses;
      return known;
    }
    const waiting = this.byLastUse().filter(({ isIdle }) => isIdle);
    if (waiting.length >= MAX_WAITING) this.forget(waiting[0]!);
    const claim = new LogClaim(logId, this.participant, this.connections, this.settings, this.logger);
    claim.lastUse = ++this.uses;
    this.byLog.set(key, claim);
    // It holds nothing, and every further request is refused.
    if (this.isClosed) void claim.close();
    return claim;
  }

  private forget(claim: LogClaim): void {
    for (const [key, known] of this.byLog) if (known === claim) this.byLog.delete(key);
  }

  /**
   * The log of an in-memory coordinator has a new id at each start, and nothing shows when the previous one
   * has ended. Neither does a host learn when a member has. When a connection is needed, the claim that was used least
   * recently is released. If its run still works, its next branch claims it again.
   */
  private leastUsedVolatile(except: LogClaim): LogClaim | undefined {
    return this.byLastUse().find((claim) => claim !== except && claim.isVolatile);
  }

  /** The least recently used first. */
  private byLastUse(): LogClaim[] {
    return [...this.byLog.values()].toSorted((one, other) => one.lastUse - other.lastUse);
  }
}

/**
 * A participant host works for several runs of one log at the same time. Each has a claim of its own, and none ends
 * another.
 */
function keyOf({ logId, epoch, isOfHost }: CoordinatorRun): string {
  return isOfHost === true ? `${logId}/${epoch}` : logId;
}

import { endAll } from '../coordinator/end-all.js';
import type { AbortVote, Branch, CoordinatorRun, IsOwnRun } from '../coordinator/participant/participant.js';
import { idPrefixOf, originOf } from '../coordinator/protocol/index.js';
import type { ClaimDatabase, NameSession } from './claim-database.js';
import { LogClaim } from './log-claim.js';
import { unlessAborted } from './unless-aborted.js';

/**
 * The most logs that are remembered as having asked, besides those with a claim, each of which has a
 * connection.
 */
const MAX_WAITING = 100;

/**
 * The logs that work in this database for one participant: a set of claims, by the ids of the logs. Several
 * coordinators may claim the participant at the same time. Each claim has its own run, session and rules, and
 * none ends another.
 */
export class LogClaims<S extends NameSession = NameSession> {
  private readonly byLog = new Map<string, LogClaim<S>>();
  private uses = 0;
  private isClosed = false;

  constructor(private readonly database: ClaimDatabase<S>) {}

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
   * @param isOwnRun asks the log of the run. @default the function given for the same run before, but none for a host
   * @throws a refusal when another log has the name of the coordinator, or a different log has worked here
   * under the same id.
   */
  async hold(run: CoordinatorRun, isOwnRun?: IsOwnRun): Promise<void> {
    const claim = this.of(run);
    try {
      await claim.hold(run, isOwnRun);
    } catch (error) {
      if (!this.lacksConnection(error)) throw error;
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
  async admit({
    transactionId,
    run,
    signal,
  }: Pick<Branch, 'transactionId' | 'run' | 'signal'>): Promise<AbortVote | undefined> {
    if (originOf(transactionId) === undefined || !transactionId.startsWith(idPrefixOf(run))) return undefined;
    const refusal = await this.of(run).admit(run, signal);
    if (!this.lacksConnection(refusal) || this.leastUsedVolatile(this.of(run)) === undefined) return refusal;
    try {
      await unlessAborted(signal, () => this.hold(run));
      return undefined;
    } catch (error) {
      if (this.database.isRefusal(error)) return refusal;
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
    await endAll([...this.byLog.values()].map((claim) => () => claim.close()));
  }

  private of(run: CoordinatorRun): LogClaim<S> {
    const { logId } = run;
    const key = keyOf(run);
    const known = this.byLog.get(key);
    if (known !== undefined) {
      known.lastUse = ++this.uses;
      return known;
    }
    const waiting = this.byLastUse().filter(({ isIdle }) => isIdle);
    if (waiting.length >= MAX_WAITING) this.forget(waiting[0]!);
    const claim = new LogClaim(logId, this.database);
    claim.lastUse = ++this.uses;
    this.byLog.set(key, claim);
    // It holds nothing, and every further request is refused.
    if (this.isClosed) void claim.close();
    return claim;
  }

  /** @param error an error, or a vote with its code. */
  private lacksConnection(error: unknown): boolean {
    const { lacksConnection } = this.database;
    const code = (error as { code?: unknown } | undefined)?.code;
    return lacksConnection !== undefined && code === lacksConnection;
  }

  private forget(claim: LogClaim<S>): void {
    for (const [key, known] of this.byLog) if (known === claim) this.byLog.delete(key);
  }

  /**
   * The log of an in-memory coordinator has a new id at each start, and nothing shows when the previous one
   * has ended. Neither does a host learn when a member has. When a connection is needed, the claim that was
   * used least recently is released. If its run still works, its next branch claims it again.
   */
  private leastUsedVolatile(except: LogClaim<S>): LogClaim<S> | undefined {
    return this.byLastUse().find((claim) => claim !== except && claim.isVolatile);
  }

  /** The least recently used first. */
  private byLastUse(): LogClaim<S>[] {
    return [...this.byLog.values()].toSorted((one, other) => one.lastUse - other.lastUse);
  }
}

/**
 * A participant host works for several runs of one log at the same time. Each has a claim of its own, and
 * none ends another.
 */
function keyOf({ logId, epoch, isOfHost }: CoordinatorRun): string {
  return isOfHost === true ? `${logId}/${epoch}` : logId;
}

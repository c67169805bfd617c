import type { Logger } from '@nestjs/common';
import type { CoordinatorRun, IsOwnRun } from '../../coordinator/participant/participant.js';
import { type RunConflict, letIn } from '../../sql/claim.js';
import type { ClaimDatabase, HeldName } from '../../sql/claim-database.js';
import { type RefusalText, copiedLog, otherLog, seenOf } from '../../sql/refusal-texts.js';
import { unlessAborted } from '../../sql/unless-aborted.js';
import { preparedOf } from '../branch/completion.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import { MariaDbStartUpError } from '../errors.js';
import type { ResolvedMariaDbSettings } from '../options.js';
import { lockName } from './lock.js';
import { RunTable } from './run-table.js';
import { ClaimSession } from './session.js';

/** The database of one participant, as the claims of coordinators use it. */
export class MariaDbClaimDatabase implements ClaimDatabase<ClaimSession> {
  private runs: RunTable | undefined;
  private opening: Promise<ClaimSession> | undefined;

  constructor(
    private readonly participant: string,
    private readonly pool: ConnectionPool,
    readonly settings: ResolvedMariaDbSettings,
    private readonly logger: Logger,
  ) {}

  /** Known after the checks at the start. */
  useDatabase(name: string): void {
    this.runs ??= new RunTable(this.participant, this.settings, name);
  }

  /** All claims of the participant share one session. */
  async join(_run: CoordinatorRun, signal: AbortSignal): Promise<ClaimSession> {
    for (;;) {
      const known = this.opening;
      if (known !== undefined) {
        // Another caller's failure to open it says nothing about this caller, which has its own patience.
        const session = await unlessAborted(signal, () => known.catch(() => undefined));
        if (session?.join() === true) return session;
        if (this.opening === known) this.opening = undefined;
        continue;
      }
      const opening = ClaimSession.open(this.pool);
      this.opening = opening;
      const forget = (): void => {
        if (this.opening === opening) this.opening = undefined;
      };
      opening.then((late) => late.over.addEventListener('abort', forget, { once: true }), forget);
      try {
        return await unlessAborted(signal, () => opening);
      } catch (error) {
        opening.then(
          (late) => late.leave(),
          () => {},
        );
        throw error;
      }
    }
  }

  lockName(
    session: ClaimSession,
    run: CoordinatorRun,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<HeldName> {
    return lockName(session, this.table, run, this.participant, waitMs, signal);
  }

  async checkLog(
    claim: ClaimSession,
    run: CoordinatorRun,
    isOwnRun: IsOwnRun | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { table, participant } = this;
    const conflict = await letIn(run, isOwnRun, {
      latest: () => claim.use(signal, (session) => table.latest(session, run)),
      prepared: async () => {
        const gids = await claim.use(signal, (session) => preparedOf(session, participant));
        return gids.filter((gid) => gid.startsWith(`${run.name}.`));
      },
      register: () => claim.use(signal, (session) => table.register(session, run)),
    });
    if (conflict !== undefined) throw this.refusal(conflict, run);
  }

  copied(run: CoordinatorRun, seen: string): MariaDbStartUpError {
    return this.failure('DTC_LOG_COPIED', copiedLog(run, seen));
  }

  isRefusal(error: unknown): error is MariaDbStartUpError {
    return error instanceof MariaDbStartUpError;
  }

  noteLoss(): void {
    this.logger.debug(`"${this.participant}" has lost the session that held its claim`);
  }

  private get table(): RunTable {
    if (this.runs === undefined) throw new Error('The database was not checked yet.');
    return this.runs;
  }

  private refusal(conflict: RunConflict, run: CoordinatorRun): MariaDbStartUpError {
    return conflict.kind === 'copied-log'
      ? this.copied(run, seenOf(conflict))
      : this.failure('DTC_MARIADB_OTHER_LOG', otherLog(run, conflict, 'one'));
  }

  private failure(code: MariaDbStartUpError['code'], { problem, remedy }: RefusalText): MariaDbStartUpError {
    return new MariaDbStartUpError(code, this.participant, problem, remedy);
  }
}

import type { Logger } from '@nestjs/common';
import type { CoordinatorRun, IsOwnRun } from '../../coordinator/participant/participant.js';
import type { ClaimDatabase, HeldName } from '../../sql/claim-database.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import { PostgresStartUpError, type PostgresStartUpErrorCode } from '../errors.js';
import type { ResolvedPostgresSettings } from '../options.js';
import { lockName } from './lock.js';
import { checkLog, copied } from './log-check.js';
import { RunTable } from './run-table.js';
import { ClaimSession } from './session.js';

/** The database of one participant, as the claims of coordinators use it. */
export class PostgresClaimDatabase implements ClaimDatabase<ClaimSession> {
  readonly lacksConnection = 'DTC_POSTGRES_POOL_TOO_SMALL' satisfies PostgresStartUpErrorCode;
  private readonly runs: RunTable;

  constructor(
    private readonly participant: string,
    private readonly connections: ConnectionPool,
    readonly settings: ResolvedPostgresSettings,
    private readonly logger: Logger,
  ) {
    this.runs = new RunTable(participant, settings);
  }

  join(run: CoordinatorRun, signal: AbortSignal): Promise<ClaimSession> {
    return ClaimSession.join(this.connections, run, this.participant, signal);
  }

  lockName(
    session: ClaimSession,
    run: CoordinatorRun,
    waitMs: number,
    signal: AbortSignal,
  ): Promise<HeldName> {
    return lockName(session, run, this.participant, waitMs, signal);
  }

  checkLog(
    session: ClaimSession,
    run: CoordinatorRun,
    isOwnRun: IsOwnRun | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    return checkLog(session, run, isOwnRun, this.participant, this.runs, signal);
  }

  copied(run: CoordinatorRun, seen: string): PostgresStartUpError {
    return copied(this.participant, run, seen);
  }

  isRefusal(error: unknown): error is PostgresStartUpError {
    return error instanceof PostgresStartUpError;
  }

  noteLoss(): void {
    this.logger.debug(`"${this.participant}" has lost the session that held its claim`);
  }
}

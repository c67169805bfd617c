import type { Logger } from '@nestjs/common';
import type { CoordinatorRun, IsOwnRun } from '../../coordinator/participant/participant.js';
import { type RunConflict, letIn } from '../../sql/claim.js';
import type { ClaimDatabase, HeldName } from '../../sql/claim-database.js';
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
    return new MariaDbStartUpError(
      'DTC_LOG_COPIED',
      this.participant,
      `${seen}, but the decision log ${run.logId} of "${run.name}", at its start ${run.epoch}, does not know of it: this log ` +
        'is a copy, or was restored from a backup, and lacks later decisions',
      'Start the coordinator with the latest log. If that is lost, decide by hand all branches prepared under this name, in every ' +
        'database, and start on an empty folder: a new log has a new id.',
    );
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
    if (conflict.kind === 'copied-log') {
      const { epoch, gid } = conflict;
      return this.copied(
        run,
        gid === undefined
          ? `start ${epoch} of the log has worked in it`
          : `start ${epoch} of the log has prepared ${gid} in it`,
      );
    }
    return new MariaDbStartUpError(
      'DTC_MARIADB_OTHER_LOG',
      this.participant,
      `branches are prepared in it under another decision log of the coordinator "${run.name}": ${conflict.branches}, one of them ` +
        `${conflict.oldest} (this log is ${run.logId})`,
      'Start the coordinator with that log, or under another name. If the log is lost, decide the branches by hand.',
    );
  }
}

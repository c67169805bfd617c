import { type End, endInTurn } from '../coordinator/end-all.js';
import {
  type AbortVote,
  type Branch,
  type CoordinatorRun,
  HeuristicError,
  type IsOwnRun,
  type OnePhaseAnswer,
  type PreparedBranch,
  refuse,
} from '../coordinator/participant/participant.js';
import type { BranchEnd } from './guard.js';
import type { GuardPurge } from './guard-purge.js';
import { branchOf } from './gid.js';
import type { LogClaims } from './log-claims.js';
import { unlessAborted } from './unless-aborted.js';
import { remainingUntil } from './work.js';

/** The parts of one participant's database that the calls of coordinators use. */
export interface CalledDatabase<Checked> {
  readonly settings: { readonly recoverTimeoutMs: number; readonly tombstoneWaitMs: number };

  /**
   * Checks the server, once.
   *
   * @returns the facts about it that branches need.
   * @throws a start-up error.
   */
  check(): Promise<Checked>;

  /** @returns the start-up error for an error that has prevented a claim: itself, if it is one. */
  startUpError(error: unknown): Error;

  /** @returns the global ids of the participant's prepared branches. */
  listPrepared(signal: AbortSignal): Promise<readonly string[]>;
}

/**
 * The calls of coordinators for the branches of one participant in one database, as far as they are the same
 * at every database: the server is checked first, the run is accepted, and the guard table learns for whom it
 * works.
 */
export class BranchCalls<Checked> {
  private checked: Promise<Checked> | undefined;
  private closed: Promise<void> | undefined;

  constructor(
    private readonly participant: string,
    private readonly database: CalledDatabase<Checked>,
    private readonly claims: LogClaims,
    private readonly purge: GuardPurge,
  ) {}

  /**
   * @returns the findings of the checks. The first call makes them; after a failure the next one makes them
   * again.
   */
  ready(): Promise<Checked> {
    this.checked ??= this.check();
    return this.checked;
  }

  /** Checks the server, and holds the claim of a run if one is given. @throws a start-up error. */
  async start(coordinator?: CoordinatorRun, isOwnRun?: IsOwnRun): Promise<void> {
    await this.ready();
    if (coordinator === undefined) return;
    try {
      await this.claims.hold(coordinator, isOwnRun);
    } catch (error) {
      throw this.database.startUpError(error);
    }
  }

  /**
   * @returns why no branch of that run is prepared here, if that is so. It is known at once that nothing
   * prevents it if a claim covers the run.
   * @throws (as a rejection) an error that prevents the answer.
   */
  admit(
    branch: Pick<Branch, 'transactionId' | 'run' | 'signal'>,
  ): Promise<AbortVote | undefined> | undefined {
    if (this.claims.covers(branch.transactionId)) {
      this.purge.workFor(branch);
      return undefined;
    }
    return this.claims.admit(branch).then((refusal) => {
      if (refusal === undefined) this.purge.workFor(branch);
      return refusal;
    });
  }

  /** @see SqlResourceManager.recover */
  async recover(run?: CoordinatorRun): Promise<readonly PreparedBranch[]> {
    await this.ready();
    const signal = AbortSignal.timeout(this.database.settings.recoverTimeoutMs);
    await unlessAborted(signal, () => this.claims.renew(run));
    const gids = await this.database.listPrepared(signal);
    const branches = gids.map((gid) => branchOf(gid, this.participant));
    return branches.filter((branch) => branch !== undefined);
  }

  /**
   * Commits a branch or rolls it back.
   *
   * @param failed makes the error of a call that is tried again.
   * @throws HeuristicError as the task does. Any other error of the task becomes that of `failed`.
   */
  async complete(
    branch: Branch,
    task: () => Promise<void>,
    failed: (error: unknown) => Error,
  ): Promise<void> {
    try {
      await this.ready();
      this.purge.workFor(branch);
      await task();
    } catch (error) {
      throw error instanceof HeuristicError ? error : failed(error);
    }
  }

  /** @returns how long a rollback waits for a running prepare of its branch. */
  waitMs({ deadline }: Branch): number {
    return Math.max(1, Math.min(this.database.settings.tombstoneWaitMs, remainingUntil(deadline)));
  }

  /** @returns the number of rows that a pass over the guard table has deleted. */
  async purgeGuardTable(): Promise<number> {
    await this.ready();
    return this.purge.pass();
  }

  /**
   * Ends the purge, the work, the claims and the connections, each also if one before it fails. A second call
   * waits for the first.
   *
   * @param work ends the remaining work.
   * @param connections closes the connections.
   */
  close(work: readonly End[], connections: readonly End[]): Promise<void> {
    this.closed ??= endInTurn([() => this.purge.stop(), ...work, () => this.claims.close(), ...connections]);
    return this.closed;
  }

  private async check(): Promise<Checked> {
    try {
      const checked = await this.database.check();
      this.purge.start();
      return checked;
    } catch (error) {
      this.checked = undefined;
      throw error;
    }
  }
}

/** @returns the answer to a repeated commit in one phase, from the end of its first attempt. */
export function onePhaseAnswerOf(end: BranchEnd): OnePhaseAnswer {
  return end === 'committed' ? 'commit' : refuse('ROLLED_BACK', 'the first attempt did not finish');
}

import type { CoordinatorRun, IsOwnRun } from '../coordinator/participant/participant.js';

/** A name of a coordinator that this process holds in a database, as far as it knows. */
export interface NameLock {
  /** Aborted when the session that holds it is lost or releases it. */
  readonly over: AbortSignal;
}

/** A name that is held for a run. */
export interface HeldName extends NameLock {
  /** Whether another session of this process holds it, for the same run. */
  readonly isOfSibling: boolean;
  /** Releases it. A lock of another session of this process stays with that session. It never throws. */
  letGo(): Promise<void>;
}

/** The session that holds names in a database. */
export interface NameSession {
  /** Asks whether the session lives. @throws when it does not answer. */
  check(signal: AbortSignal): Promise<void>;
  /** The claim no longer needs the session. It never throws. */
  leave(): Promise<void>;
  /** Ends the session at once: it no longer answers. */
  cut(): void;
}

/** A database in which a coordinator is refused says so with an error that has a stable code. */
export type ClaimRefusal = Error & { readonly code: string };

/** The parts of one participant's database that a claim uses. */
export interface ClaimDatabase<S extends NameSession = NameSession> {
  readonly settings: { readonly claimWaitMs: number; readonly startTimeoutMs: number };
  /** The code of the refusal of a claim for which there is no connection, if that can be. */
  readonly lacksConnection?: string | undefined;

  /** Joins the session of the run, or opens it. @throws an error that prevents it, or a refusal. */
  join(run: CoordinatorRun, signal: AbortSignal): Promise<S>;

  /**
   * Holds the name of the coordinator.
   *
   * @param waitMs how long to wait for another process that holds it.
   * @throws a refusal when another process keeps it.
   */
  lockName(session: S, run: CoordinatorRun, waitMs: number, signal: AbortSignal): Promise<HeldName>;

  /**
   * Accepts a run, if its decision log is the right one. The name is held meanwhile.
   *
   * @throws a refusal if it is not.
   */
  checkLog(
    session: S,
    run: CoordinatorRun,
    isOwnRun: IsOwnRun | undefined,
    signal: AbortSignal,
  ): Promise<void>;

  /** @returns the refusal of a run whose log does not contain the fact in `seen`. */
  copied(run: CoordinatorRun, seen: string): ClaimRefusal;

  /** Whether an error is a refusal. Any other says nothing about the run. */
  isRefusal(error: unknown): error is ClaimRefusal;

  /** Logs that the session of the claim was lost. */
  noteLoss(): void;
}

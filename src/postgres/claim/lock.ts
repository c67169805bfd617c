import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoordinatorRun } from '../../coordinator/index.js';
import { type ClaimSession, LOCKS, type NameLock, isLeftBehind, lockOfSibling } from './session.js';
import { PostgresStartUpError } from '../errors.js';
import { SINCE, identityOf } from '../connection/server-session.js';

/** How often a lock that another session has is tried again. */
const POLL_MS = 50;

interface Holder {
  readonly pid: string;
  readonly since: string | null;
  readonly application: string;
}

/** A name that is held for a run. */
export interface HeldName extends NameLock {
  /** Whether another session of this process holds it, of the same run. */
  readonly isOfSibling: boolean;
  /** Gives it back; what another session of this process holds stays with that. It never throws. */
  letGo(): Promise<void>;
}

/**
 * Takes the lock on the name of a coordinator, for one participant in one database. The session of another run is never
 * ended, whatever it calls itself: which of two runs is dead nothing in the database can tell. Only what is left at the
 * server of this very run, after its connection was lost, is ended.
 *
 * @param waitMs how long another process that holds it is waited for: one that was killed is noticed a little later, and
 * one whose machine is gone within half a minute.
 * @throws PostgresStartUpError (`DTC_POSTGRES_COORDINATOR_IN_USE`) when another process holds it.
 */
export async function lockName(
  session: ClaimSession,
  run: CoordinatorRun,
  participant: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<HeldName> {
  const number = numberOf(`${run.name}/${participant}`);
  // Two without a durable log are in nobody's way, as neither takes anything for an orphan.
  const mode = run.durable ? 'exclusive' : 'shared';
  const end = performance.now() + waitMs;
  for (;;) {
    const lock = await session.tryLock(number, mode, signal);
    if (lock !== undefined) return { ...lock, isOfSibling: false, letGo: () => session.unlock(number, mode) };
    const holders = await holdersOf(session, number, signal);
    for (const holder of holders) {
      const sibling = lockOfSibling(identityOf(holder), run, number);
      if (sibling !== undefined) return { ...sibling, isOfSibling: true, letGo: () => Promise.resolve() };
    }
    for (const holder of holders.filter((one) => isLeftBehind(identityOf(one), run))) {
      await session.query(signal, 'SELECT pg_terminate_backend($1)::text AS ended', [holder.pid]);
    }
    const leftMs = end - performance.now();
    if (leftMs <= 0) throw inUse(participant, run, holders);
    await sleep(Math.min(POLL_MS, leftMs), undefined, { signal });
  }
}

function holdersOf(session: ClaimSession, number: number, signal: AbortSignal): Promise<Holder[]> {
  return session.query<Holder>(
    signal,
    `SELECT pid::text AS pid, ${SINCE} AS since, application_name::text AS application
      FROM pg_locks JOIN pg_stat_activity USING (pid)
      WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = $1 AND objid::bigint = $2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    [LOCKS, number >>> 0],
  );
}

function inUse(
  participant: string,
  { name }: CoordinatorRun,
  holders: readonly Holder[],
): PostgresStartUpError {
  const sessions = holders.map(({ pid, application }) => `session ${pid}, "${application}"`).join('; ');
  const commands = holders.map(({ pid }) => `SELECT pg_terminate_backend(${pid});`).join(' ');
  return new PostgresStartUpError(
    'DTC_POSTGRES_COORDINATOR_IN_USE',
    participant,
    `another process works in it under the coordinator name "${name}" (${sessions || 'it has just gone'})`,
    'End that process, or give each coordinator a name of its own. If its machine is gone, the server notices within half ' +
      `a minute: start again then${commands && `, or end its session: ${commands}`}`,
  );
}

function numberOf(text: string): number {
  return createHash('sha256').update(text).digest().readInt32BE();
}

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoordinatorRun } from '../../coordinator/participant/participant.js';
import type { HeldName, NameLock } from '../../sql/claim-database.js';
import { type ClaimSession, LOCKS, isLeftBehind, lockOfSibling } from './session.js';
import { PostgresStartUpError } from '../errors.js';
import { SINCE, identityOf } from '../connection/server-session.js';

/** How often to try again while another session has the lock. */
const POLL_MS = 50;

interface Holder {
  readonly pid: string;
  readonly since: string | null;
  readonly application: string;
}

/**
 * Takes the lock on the name of a coordinator, for one participant in one database. It never ends the session
 * of another run, whatever that session is called: the database cannot tell which of two runs is dead. It
 * only ends a session of this same run that stayed at the server after the loss of its connection.
 *
 * @param waitMs how long to wait for another process that holds it: the server notices a killed process a
 * little later, and a failed machine within half a minute.
 * @throws PostgresStartUpError (`DTC_POSTGRES_COORDINATOR_IN_USE`) when another process holds it.
 */
export async function lockName(
  session: ClaimSession,
  run: CoordinatorRun,
  participant: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<HeldName> {
  const locks = new LocksOnName(session, run, participant);
  const { number } = locks;
  const end = performance.now() + waitMs;
  for (;;) {
    const lock = await locks.tryAll(signal);
    if (lock !== undefined) return { ...lock, isOfSibling: false, letGo: () => locks.letGo() };
    const holders = await locks.holders(signal);
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

/**
 * The advisory locks of one kind that sessions hold in this database. The first parameter is the class, the
 * second the number.
 */
const HELD = `locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = $1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

/**
 * The locks by which a run holds a name. A run with a durable log of its own holds the name alone. Those
 * without a durable log share it: neither takes anything for an orphan. The members of one shared log share
 * it as well, and mark themselves by two more locks: one says that they are members, one of which log. So
 * members of different logs, and members and others, are told apart.
 */
class LocksOnName {
  readonly number: number;
  private readonly members: number;
  private readonly log: number;
  private readonly mode: 'exclusive' | 'shared';
  private readonly taken: number[] = [];

  constructor(
    private readonly session: ClaimSession,
    private readonly run: CoordinatorRun,
    participant: string,
  ) {
    const name = `${run.name}/${participant}`;
    this.number = numberOf(name);
    this.members = numberOf(`${name}/members`);
    this.log = numberOf(`${name}/${run.logId}`);
    this.mode = run.durable && run.isShared !== true ? 'exclusive' : 'shared';
  }

  /**
   * @returns the lock on the name, or undefined when another session stands in the way. Then none is held.
   */
  async tryAll(signal: AbortSignal): Promise<NameLock | undefined> {
    let lock: NameLock | undefined;
    try {
      const marks = this.run.isShared === true ? [this.members, this.log] : [];
      for (const number of [...marks, this.number]) {
        lock = await this.session.tryLock(number, this.mode, signal);
        if (lock === undefined) break;
        this.taken.push(number);
      }
      // Each holds its own locks by now, so of two strangers that come at the same moment at least one sees
      // the other.
      if (lock !== undefined && (this.mode === 'exclusive' || (await this.holders(signal)).length === 0))
        return lock;
    } catch (error) {
      await this.letGo();
      throw error;
    }
    await this.letGo();
    return undefined;
  }

  /** @returns the sessions that keep this run from the name. */
  holders(signal: AbortSignal): Promise<Holder[]> {
    const { run, number, members, log, session } = this;
    const isMarked = `EXISTS (SELECT FROM pg_locks AS mark
      WHERE mark.pid = holder.pid AND objid::bigint = $3 AND ${HELD})`;
    const isInTheWay =
      run.isShared === true ? `NOT ${isMarked}` : `(${isMarked} OR holder.mode = 'ExclusiveLock')`;
    return session.query<Holder>(
      signal,
      `SELECT pid::text AS pid, ${SINCE} AS since, application_name::text AS application
        FROM (SELECT pid, mode FROM pg_locks WHERE objid::bigint = $2 AND ${HELD}) AS holder
        JOIN pg_stat_activity USING (pid)
        WHERE ${this.mode === 'exclusive' ? `$3::bigint IS NOT NULL` : isInTheWay}`,
      [LOCKS, number >>> 0, (run.isShared === true ? log : members) >>> 0],
    );
  }

  /** Gives all of them back. It never throws. */
  async letGo(): Promise<void> {
    for (const number of this.taken.splice(0).toReversed()) await this.session.unlock(number, this.mode);
  }
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
    `another process works in it under the coordinator name "${name}" (${sessions || 'it has just ended'})`,
    'End that process, or give each coordinator a name of its own. If its machine is gone, the server notices within half ' +
      `a minute: start again then${commands && `, or end its session: ${commands}`}`,
  );
}

function numberOf(text: string): number {
  return createHash('sha256').update(text).digest().readInt32BE();
}

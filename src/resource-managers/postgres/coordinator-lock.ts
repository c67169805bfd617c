import { createHash } from 'node:crypto';
import type { PoolClient } from 'pg';
import { type NameLock, countSession, lockOfSibling } from './claim-sessions.js';
import type { CoordinatorRun } from '../../coordinator/index.js';
import { prefixOf } from './coordinator-run.js';
import { PostgresStartUpError } from './errors.js';
import { codeOf } from './sqlstate.js';

/** The first half of the key of each lock; the other is of the coordinator and the participant. */
const LOCKS = 0x64_74_63;

const LOCK_NOT_AVAILABLE = '55P03';

/**
 * The session does nothing for as long as its process lives. When the machine of that is gone, the server finds out within
 * half a minute, and takes the lock back.
 */
const SETTINGS = {
  idle_session_timeout: 0,
  tcp_keepalives_idle: 10,
  tcp_keepalives_interval: 5,
  tcp_keepalives_count: 3,
};

interface Holder {
  readonly pid: number;
  readonly application: string;
}

/**
 * Takes the lock on the name of a coordinator, for one participant in one database, for as long as the session lasts. A
 * session of this very run whose connection was lost, though the server has not noticed, is ended.
 *
 * @param waitMs how long whoever else holds it is waited for: a process that was killed is noticed a little later.
 * @returns the lock of this session, or that of another one of this process that works for this very run.
 * @throws PostgresStartUpError (`DTC_POSTGRES_COORDINATOR_IN_USE`) when another process holds it.
 */
export async function lockName(
  client: PoolClient,
  run: CoordinatorRun,
  participant: string,
  waitMs: number,
): Promise<NameLock> {
  const number = keyOf(`${run.name}/${participant}`);
  const key = [LOCKS, number];
  // Two without a durable log are in nobody's way, as neither takes anything for an orphan.
  const lock = run.durable ? 'advisory_lock' : 'advisory_lock_shared';
  const pid = await configure(client, {
    application_name: applicationOf(run),
    lock_timeout: waitMs,
    ...SETTINGS,
  });
  const own = countSession(client, number, pid);
  const { rows } = await client.query<{ held: boolean }>(`SELECT pg_try_${lock}($1, $2) AS held`, key);
  if (rows[0]?.held === true) return own;

  const holders = await holdersOf(client, key);
  for (const holder of holders) {
    const sibling = holder.application === applicationOf(run) && lockOfSibling(number, holder.pid);
    if (sibling) return sibling;
  }
  for (const holder of holders.filter((one) => isLeftBehind(one, run))) {
    // Another role's session cannot be ended; then it is waited for as others are.
    await client.query('SELECT pg_terminate_backend($1)', [holder.pid]).catch(() => {});
  }
  try {
    await client.query(`SELECT pg_${lock}($1, $2)`, key);
    return own;
  } catch (error) {
    if (codeOf(error) !== LOCK_NOT_AVAILABLE) throw error;
    throw inUse(participant, run, await holdersOf(client, key));
  }
}

/** @returns the number of the session, as the server itself has it: in between there may be who tells another. */
async function configure(client: PoolClient, settings: Readonly<Record<string, unknown>>): Promise<number> {
  const names = Object.keys(settings);
  const calls = names.map((name, index) => `set_config('${name}', $${index + 1}, false)`);
  const { rows } = await client.query<{ pid: number }>(
    `SELECT pg_backend_pid() AS pid, ${calls.join(', ')}`,
    Object.values(settings).map(String),
  );
  return rows[0]!.pid;
}

async function holdersOf(client: PoolClient, [space, key]: readonly number[]): Promise<Holder[]> {
  const { rows } = await client.query<Holder>(
    `SELECT pid, application_name AS application FROM pg_locks JOIN pg_stat_activity USING (pid)
      WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND classid::bigint = $1 AND objid::bigint = $2
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    [space, key! >>> 0],
  );
  return rows;
}

/** By this name others know which run holds a lock; everybody may see it in pg_stat_activity. */
function applicationOf(run: CoordinatorRun): string {
  return `dtc ${prefixOf(run).slice(0, -1)}`;
}

/** Whether it is of this very run, and nobody's any more. */
function isLeftBehind({ application }: Holder, run: CoordinatorRun): boolean {
  return application === applicationOf(run);
}

function inUse(
  participant: string,
  { name }: CoordinatorRun,
  holders: readonly Holder[],
): PostgresStartUpError {
  const who = holders.map(({ pid, application }) => `session ${pid}, "${application}"`).join('; ');
  return new PostgresStartUpError(
    'DTC_POSTGRES_COORDINATOR_IN_USE',
    participant,
    `another process works in it under the coordinator name "${name}" (${who || 'it has just gone'})`,
    'Give every coordinator a name of its own, or end the other process.',
  );
}

function keyOf(text: string): number {
  return createHash('sha256').update(text).digest().readInt32BE();
}

import { createHash } from 'node:crypto';
import type { PoolClient } from 'pg';
import { type CoordinatorRun, haveOneLog, prefixOf, runOf } from './coordinator-run.js';
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
 * Takes the lock on the name of a coordinator, for one participant in one database, for as long as the session lasts. A run
 * of the same log that went before is dead, as that log is this one's now: should a session of it be left, it is ended.
 *
 * @param waitMs how long whoever else holds it is waited for: a process that was killed is noticed a little later.
 * @returns whether this session holds it. It does not where another one of this very run does.
 * @throws PostgresStartUpError (`DTC_POSTGRES_COORDINATOR_IN_USE`) when another process holds it.
 */
export async function lockName(
  client: PoolClient,
  run: CoordinatorRun,
  participant: string,
  waitMs: number,
): Promise<boolean> {
  const key = [LOCKS, keyOf(`${run.name}/${participant}`)];
  // Two without a durable log are in nobody's way, as neither takes anything for an orphan.
  const lock = run.durable === false ? 'advisory_lock_shared' : 'advisory_lock';
  await configure(client, { application_name: applicationOf(run), lock_timeout: waitMs, ...SETTINGS });
  const { rows } = await client.query<{ held: boolean }>(`SELECT pg_try_${lock}($1, $2) AS held`, key);
  if (rows[0]?.held === true) return true;

  const holders = await holdersOf(client, key);
  if (holders.some(({ application }) => application === applicationOf(run))) return false;
  for (const { pid } of holders.filter((holder) => isPredecessor(holder, run))) {
    // Another role's session cannot be ended; then it is waited for as others are.
    await client.query('SELECT pg_terminate_backend($1)', [pid]).catch(() => {});
  }
  try {
    await client.query(`SELECT pg_${lock}($1, $2)`, key);
    return true;
  } catch (error) {
    if (codeOf(error) !== LOCK_NOT_AVAILABLE) throw error;
    throw inUse(participant, run, await holdersOf(client, key));
  }
}

async function configure(client: PoolClient, settings: Readonly<Record<string, unknown>>): Promise<void> {
  const names = Object.keys(settings);
  const calls = names.map((name, index) => `set_config('${name}', $${index + 1}, false)`);
  await client.query(`SELECT ${calls.join(', ')}`, Object.values(settings).map(String));
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

function isPredecessor({ application }: Holder, run: CoordinatorRun): boolean {
  const holder = runOf(`${application.replace(/^dtc /, '')}.1`);
  return holder?.name === run.name && holder.epoch < run.epoch && haveOneLog(holder.epoch, run.epoch);
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

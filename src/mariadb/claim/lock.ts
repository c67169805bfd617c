import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CoordinatorRun } from '../../coordinator/participant/participant.js';
import { keyOfRun } from '../../sql/claim.js';
import type { HeldName } from '../../sql/claim-database.js';
import type { Session } from '../connection/session.js';
import { MariaDbStartUpError } from '../errors.js';
import type { RunTable } from './run-table.js';
import type { ClaimSession } from './session.js';

/** How often to try again while another session has the name. */
const POLL_MS = 50;

/** How long it may take to give a name back. */
const GOODBYE_MS = 1_000;

/** A run that holds a name. */
interface Holder {
  readonly log_id: string;
  readonly epoch: string;
  readonly token: string;
  readonly is_shared: string;
  readonly is_durable: string;
  readonly session_mark: string;
  readonly host: string;
  /** The number of its session; null when that has ended. */
  readonly id: string | null;
}

/**
 * Holds the name of a coordinator, for one participant in one database, by a row that counts while its
 * session lives. It never ends the session of another run: the database cannot tell which of two runs is
 * dead.
 *
 * @param waitMs how long to wait for another process that holds it: the server notices a killed process a
 * little later.
 * @throws MariaDbStartUpError (`DTC_MARIADB_COORDINATOR_IN_USE`) when another process holds it.
 */
export async function lockName(
  claim: ClaimSession,
  runs: RunTable,
  run: CoordinatorRun,
  participant: string,
  waitMs: number,
  signal: AbortSignal,
): Promise<HeldName> {
  const end = performance.now() + waitMs;
  for (;;) {
    const inTheWay = await claim.use(signal, (session) => tryToHold(session, runs, run, participant));
    if (inTheWay !== undefined && inTheWay.length === 0) break;
    const leftMs = end - performance.now();
    if (leftMs <= 0) throw inUse(participant, run, inTheWay ?? []);
    await sleep(Math.min(POLL_MS, leftMs), undefined, { signal });
  }
  const given = new AbortController();
  return {
    over: AbortSignal.any([claim.over, given.signal]),
    isOfSibling: false,
    letGo: async () => {
      given.abort();
      try {
        await claim.use(AbortSignal.timeout(GOODBYE_MS), (session) =>
          session.run(
            `DELETE FROM ${runs.live} WHERE coordinator = ? AND participant = ? AND log_id = ? AND epoch = ? AND session_mark = ?`,
            [run.name, participant, run.logId, run.epoch, session.mark],
          ),
        );
      } catch {
        // The row counts no longer once its session has ended.
        claim.cut();
      }
    },
  };
}

/**
 * @returns those that stand in the way, none when the name is held now; undefined when another process is
 * trying.
 */
async function tryToHold(
  session: Session,
  runs: RunTable,
  run: CoordinatorRun,
  participant: string,
): Promise<Holder[] | undefined> {
  await runs.find(session);
  // Sessions that ask at the same moment do so one after the other.
  const mutex = `dtc ${createHash('sha256').update(`${runs.live} ${run.name}/${participant}`).digest('hex').slice(0, 40)}`;
  const [mine] = await session.rows<{ held: string | null }>('SELECT CAST(GET_LOCK(?, 0) AS CHAR) AS held', [
    mutex,
  ]);
  if (mine?.held !== '1') return undefined;
  try {
    const holders = await session.rows<Holder>(
      `SELECT log_id, CAST(epoch AS CHAR) AS epoch, token, CAST(is_shared AS CHAR) AS is_shared,
        CAST(is_durable AS CHAR) AS is_durable, session_mark, host, CAST(IS_USED_LOCK(session_mark) AS CHAR) AS id
        FROM ${runs.live} WHERE coordinator = ? AND participant = ?`,
      [run.name, participant],
    );
    const dead = holders.filter(({ id }) => id === null).map(({ session_mark }) => session_mark);
    if (dead.length > 0) {
      await session.run(
        `DELETE FROM ${runs.live} WHERE coordinator = ? AND participant = ? AND session_mark IN (?)`,
        [run.name, participant, dead],
      );
    }
    const inTheWay = holders.filter((holder) => holder.id !== null && !mayShare(holder, run));
    if (inTheWay.length > 0) return inTheWay;
    await session.run(
      `REPLACE INTO ${runs.live} (coordinator, participant, log_id, epoch, token, is_shared, is_durable, session_mark, host)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        run.name,
        participant,
        run.logId,
        run.epoch,
        run.token,
        run.isShared === true ? 1 : 0,
        run.durable ? 1 : 0,
        session.mark,
        `${hostname().slice(0, 50)} ${process.pid}`,
      ],
    );
    return [];
  } finally {
    await session.run('DO RELEASE_LOCK(?)', [mutex]);
  }
}

/**
 * The same run may hold the name in several sessions. Members of one shared log share it, and so do runs
 * without a durable log: neither takes anything for an orphan. Any other run with a durable log holds the
 * name alone.
 */
function mayShare(holder: Holder, run: CoordinatorRun): boolean {
  const isSame =
    keyOfRun(run) ===
    keyOfRun({ ...run, logId: holder.log_id, epoch: Number(holder.epoch), token: holder.token });
  const areMembers = run.isShared === true && holder.is_shared === '1' && holder.log_id === run.logId;
  const areVolatile = !run.durable && holder.is_durable === '0';
  return isSame || areMembers || areVolatile;
}

function inUse(
  participant: string,
  { name }: CoordinatorRun,
  holders: readonly Holder[],
): MariaDbStartUpError {
  const sessions = holders.map(({ id, host }) => `session ${id} of the process ${host}`).join('; ');
  const commands = holders.map(({ id }) => `KILL CONNECTION ${id};`).join(' ');
  return new MariaDbStartUpError(
    'DTC_MARIADB_COORDINATOR_IN_USE',
    participant,
    `another process works in it under the coordinator name "${name}" (${sessions || 'it has just begun or ended'})`,
    'End that process, or give each coordinator a name of its own. If its machine is gone, the server notices only when it checks ' +
      `the connection: end its session then, and start again${commands && `: ${commands}`}`,
  );
}

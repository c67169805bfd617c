import { Client } from 'pg';
import { until } from './branches.js';
import type { PostgresServer } from './server.js';

/** A write that waits for a standby, if the server waits for any. */
const WRITE = `SELECT pg_logical_emit_message(true, 'test', '')`;

/**
 * Has the server wait for a standby at each commit, from now on. It is in force when this resolves: sessions
 * and the process that keeps the list of standbys read it at moments of their own.
 *
 * @param name of one that there is not, or '' for none.
 */
export async function standby(server: PostgresServer, name: string): Promise<void> {
  const [client, writer] = [1, 2].map(() => new Client(server.database('postgres').url));
  await Promise.all([client!.connect(), writer!.connect()]);
  try {
    await client!.query('SET synchronous_commit = local');
    await client!.query(`ALTER SYSTEM SET synchronous_standby_names = '${name}'`);
    await client!.query('SELECT pg_reload_conf()');
    await until(`writes ${name === '' ? 'do not wait' : 'wait'}`, async () => {
      return (await waits(client!, writer!)) === (name !== '');
    });
  } finally {
    await Promise.all([client!.end(), writer!.end()]);
  }
}

/** Whether a write waits for a standby. It is cancelled when it does. */
async function waits(client: Client, writer: Client): Promise<boolean> {
  const { rows } = await writer.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  let isOver = false;
  const write = writer.query(WRITE).finally(() => {
    isOver = true;
  });
  let isWaiting = false;
  await until('the write waits, or is over', async () => {
    const seen = await client.query<{ wait: string | null }>(
      'SELECT wait_event AS wait FROM pg_stat_activity WHERE pid = $1',
      [rows[0]!.pid],
    );
    isWaiting = !isOver && seen.rows[0]?.wait === 'SyncRep';
    return isOver || isWaiting;
  });
  if (isWaiting) await client.query('SELECT pg_cancel_backend($1)', [rows[0]!.pid]);
  await write;
  return isWaiting;
}

import type { Pool, QueryConfig } from 'pg';
import { afterEach, describe, expect, it } from 'vitest';
import {
  type NewMessage,
  PostgresOutbox,
  type PostgresOutboxOptions,
  type PostgresResourceManager,
} from '../../src/postgres/index.js';
import { outboxConformance } from '../support/outbox-conformance.js';
import { usePostgres } from '../support/postgres/bench.js';
import { again, someBranch, until } from '../support/postgres/branches.js';

const bench = usePostgres({ roles: ['clerk'] });
const opened: PostgresOutbox[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((outbox) => outbox.close()));
});

function make(options: Partial<PostgresOutboxOptions> = {}): PostgresOutbox {
  const outbox = new PostgresOutbox({ connection: bench.database.url, ...options });
  opened.push(outbox);
  return outbox;
}

async function open(options?: Partial<PostgresOutboxOptions>): Promise<PostgresOutbox> {
  const outbox = make(options);
  await outbox.start();
  return outbox;
}

outboxConformance('PostgreSQL', {
  open,
  participant: () => bench.start({ workConnections: 4 }),
  prepare: (store, manager, branch, messages, vote = 'commit') =>
    (manager as PostgresResourceManager).prepare(branch, async (client) => {
      await (store as PostgresOutbox).add(client, branch, ...messages);
      return vote;
    }),
  write: async (store, messages) => {
    for (const { text, values } of (store as PostgresOutbox).statements(someBranch(), ...messages)) {
      await bench.database.query(text, values);
    }
  },
  query: async <R>(sql: string) => (await bench.database.query(sql)).rows as R[],
  crash: async () => {
    await bench.server.kill();
    await bench.server.restart();
  },
  ago: (minutes) => `now() - interval '${minutes} minutes'`,
});

describe('The outbox in PostgreSQL', () => {
  async function problemOf(options: Partial<PostgresOutboxOptions>): Promise<string> {
    try {
      await make(options).start();
      return 'none';
    } catch (error) {
      expect(error).toMatchObject({ name: 'OutboxError' });
      return (error as Error).message;
    }
  }

  it('has its tables made by the SQL of the error where the role may not make them', async () => {
    const { database } = bench;
    const clerk = { connection: database.urlBy({ user: 'clerk' }), schema: 'mail' };
    const missing = await problemOf(clerk);
    expect(missing).toContain('missing, and the role clerk could not create them (permission denied');
    expect(await problemOf({ ...clerk, createTables: false })).toContain(
      'and the option createTables is false',
    );
    const [definition, grants] = missing.split('create them:\n')[1]!.split('\nGRANT USAGE');
    await database.query(definition!);
    await database.query('GRANT USAGE ON SCHEMA mail TO clerk');
    expect(await problemOf(clerk)).toContain(
      'the role clerk may not read and write its tables. Run this as their owner: GRANT',
    );
    await database.query(`GRANT USAGE${grants}`);
    expect(await problemOf(clerk)).toBe('none');
    expect(await problemOf({ ...clerk, createTables: false })).toBe('none');
  });

  it.each([
    ['CREATE TABLE dtc_outbox (id int)', 'lacks the columns attempts integer, due_at timestamp'],
    ['CREATE TABLE dtc_outbox_keys (name text, used_at timestamptz)', 'has no primary key of name'],
    ['CREATE UNLOGGED TABLE dtc_outbox_keys (name text PRIMARY KEY, used_at timestamptz)', 'is unlogged'],
  ])('does not start with %s', async (sql, problem) => {
    await bench.database.query(sql);
    expect(await problemOf({})).toContain(problem);
  });

  it('does not start without a server, and writes nothing before its start', async () => {
    const outbox = make({ connection: 'postgres://x:y@127.0.0.1:1/z', statementTimeoutMs: 1_000 });
    await expect(outbox.start()).rejects.toMatchObject({ code: 'DTC_OUTBOX_UNREACHABLE' });
    expect(() => outbox.statements(someBranch(), { topic: 't', payload: 1 })).toThrow(
      'has not found its tables',
    );
  });

  it('writes into its own schema, whichever search path the work has set', async () => {
    await bench.database.query('CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.dtc_outbox (id int)');
    const [outbox, manager, branch] = [await open(), await bench.start(), someBranch()];
    await manager.prepare(branch, async (client) => {
      await client.query('SET LOCAL search_path = elsewhere');
      await outbox.add(client, branch, { topic: 'here', key: 'k', payload: 1 });
      return 'commit';
    });
    await manager.commit(again(branch));
    expect(await outbox.claim(1, 1)).toMatchObject([{ topic: 'here' }]);
  });

  it('numbers the messages of a key in the order of the commits, also where a branch has waited for the key', async () => {
    const [outbox, manager] = [
      await open(),
      await bench.start({ workConnections: 2, lockTimeoutMs: 20_000 }),
    ];
    const [first, second] = [someBranch({ withinMs: 30_000 }), someBranch({ withinMs: 30_000 })];
    const about = (topic: string): NewMessage => ({ topic, key: 'k', payload: 1 });
    const waits = async (): Promise<boolean> => {
      const { rows } = await bench.database.query('SELECT FROM pg_locks WHERE NOT granted');
      return rows.length > 0;
    };
    let waiting: Promise<unknown> | undefined;
    await manager.prepare(first, async (client) => {
      await outbox.add(client, first, about('1'));
      waiting = manager.prepare(second, async (other) => {
        await outbox.add(other, second, about('3'));
        return 'commit';
      });
      await until('the second branch waits', waits);
      await outbox.add(client, first, about('2'));
      return 'commit';
    });
    await manager.commit(again(first));
    expect(await waiting).toBe('commit');
    await manager.commit(again(second));
    const { rows } = await bench.database.query('SELECT topic FROM dtc_outbox ORDER BY position');
    expect(rows).toEqual([{ topic: '1' }, { topic: '2' }, { topic: '3' }]);
  });

  it('takes messages of a batch, in one round trip and also several of one key', async () => {
    const [outbox, manager, branch] = [await open(), await bench.start(), someBranch()];
    const statements: QueryConfig[] = outbox.statements(
      branch,
      { topic: 'one', key: 'k', payload: 1 },
      { topic: 'two', key: 'k', payload: 2 },
      { topic: 'free', payload: 3 },
    );
    expect(manager.mayJoinGroup(statements)).toBe(true);
    expect(await manager.prepareBatch(branch, { statements, vote: () => 'commit' })).toBe('commit');
    await manager.commit(again(branch));
    const { rows } = await bench.database.query(
      'SELECT topic, key, payload FROM dtc_outbox ORDER BY position',
    );
    expect(rows).toEqual([
      { topic: 'one', key: 'k', payload: '1' },
      { topic: 'two', key: 'k', payload: '2' },
      { topic: 'free', key: null, payload: '3' },
    ]);
  });

  it('leaves no session at the server when it is closed', async () => {
    const outbox = await open();
    await outbox.claim(1, 1);
    const sessions = async (): Promise<number> => {
      const { rows } = await bench.database.query<{ count: number }>(
        `SELECT count(*)::int AS count FROM pg_stat_activity WHERE application_name = 'dtc outbox' AND datname = current_database()`,
      );
      return rows[0]!.count;
    };
    expect(await sessions()).toBe(1);
    await outbox.close();
    await expect.poll(sessions).toBe(0);
    await expect(outbox.claim(1, 1)).rejects.toThrow();
  });

  it('cannot be used with an impossible option', () => {
    const connection = 'postgres://localhost/x';
    for (const options of [
      { connection: '' },
      { connection, name: 'Über' },
      { connection, schema: 'a b' },
      { connection, maxPayloadBytes: 2_000_000 },
      { connection, pool: 1 },
    ]) {
      expect(() => new PostgresOutbox(options as PostgresOutboxOptions)).toThrow(
        'PostgresOutbox cannot be used',
      );
    }
  });

  it('does not let a pool take the place of the client of the branch', () => {
    const write = (outbox: PostgresOutbox, pool: Pool): unknown =>
      // @ts-expect-error -- a message that a pool writes is sent whether or not the branch commits
      outbox.add(pool, someBranch(), { topic: 't', payload: 1 });
    expect(write).toBeTypeOf('function');
  });
});

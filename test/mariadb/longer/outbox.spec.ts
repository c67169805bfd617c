import { afterEach, describe, expect, it } from 'vitest';
import {
  MariaDbOutbox,
  type MariaDbOutboxOptions,
  type MariaDbResourceManager,
} from '../../../src/mariadb/index.js';
import { useMariaDb } from '../../support/mariadb/bench.js';
import { hasMariaDb } from '../../support/mariadb/server.js';
import { outboxConformance } from '../../support/outbox-conformance.js';
import { again, someBranch } from '../../support/postgres/branches.js';

describe.runIf(hasMariaDb())('MariaDB', () => {
  const bench = useMariaDb();
  const opened: MariaDbOutbox[] = [];

  afterEach(async () => {
    await Promise.all(opened.splice(0).map((outbox) => outbox.close()));
  });

  function make(options: Partial<MariaDbOutboxOptions> = {}): MariaDbOutbox {
    const outbox = new MariaDbOutbox({ connection: bench.database.url, ...options });
    opened.push(outbox);
    return outbox;
  }

  async function open(options?: Partial<MariaDbOutboxOptions>): Promise<MariaDbOutbox> {
    const outbox = make(options);
    await outbox.start();
    return outbox;
  }

  outboxConformance('MariaDB', {
    open,
    participant: () => bench.start({ workConnections: 4 }),
    prepare: (store, manager, branch, messages, vote = 'commit') =>
      (manager as MariaDbResourceManager).prepare(branch, async (connection) => {
        await (store as MariaDbOutbox).add(connection, branch, ...messages);
        return vote;
      }),
    write: async (store, messages) => {
      for (const { sql, values } of (store as MariaDbOutbox).statements(someBranch(), ...messages)) {
        await bench.database.query(sql, [...values!]);
      }
    },
    query: async <R>(sql: string) => {
      const rows = await bench.database.query<R>(sql);
      return Array.isArray(rows) ? rows : [];
    },
    crash: async () => {
      await bench.server.kill();
      await bench.server.restart();
    },
    ago: (minutes) => `UTC_TIMESTAMP(3) - INTERVAL ${minutes} MINUTE`,
  });

  describe('The outbox in MariaDB', () => {
    it('sends a message again as it found it: an order of another operator waits until that is done', async () => {
      const [one, other] = [await open(), await open()];
      for (const { sql, values } of one.statements(someBranch(), { topic: 'sale', key: 'k', payload: 1 }))
        await bench.database.query(sql, [...values!]);
      await bench.database.query("UPDATE dtc_outbox SET state = 'dead'");
      const [dead] = await one.listDead(1);
      // The copy takes so long that the other order comes in between.
      await bench.database.query(
        'CREATE TRIGGER slow BEFORE INSERT ON dtc_outbox FOR EACH ROW DO SLEEP(0.5)',
      );
      const sent = one.requeue([dead!.id]);
      await expect
        .poll(() =>
          bench.database.query("SELECT id FROM information_schema.processlist WHERE state = 'User sleep'"),
        )
        .toHaveLength(1);
      expect([await other.discard([dead!.id]), await sent]).toEqual([0, 1]);
      expect(await bench.database.query("SELECT id FROM dtc_outbox WHERE state = 'waiting'")).toHaveLength(1);
    });

    async function problemOf(options: Partial<MariaDbOutboxOptions>): Promise<string> {
      try {
        await make(options).start();
        return 'none';
      } catch (error) {
        expect(error).toMatchObject({ name: 'OutboxError' });
        return (error as Error).message;
      }
    }

    it('has its tables made by the SQL of the error where the user may not make them', async () => {
      const { database, server } = bench;
      await server.createUser('clerk', `SELECT ON ${database.name}.accounts`);
      const clerk = { connection: database.urlBy({ user: 'clerk' }) };
      const missing = await problemOf(clerk);
      expect(missing).toContain(
        'may not read and write its tables dtc_outbox and dtc_outbox_keys, or they are missing (1142',
      );
      const connection = await database.connect();
      for (const statement of missing
        .split('create them:\n')[1]!
        .split(';')
        .filter((text) => text.trim() !== '')) {
        await connection.query(statement);
      }
      expect(await problemOf({ ...clerk, createTables: false })).toBe('none');
      await connection.query(`REVOKE DELETE ON dtc_outbox FROM clerk@'127.0.0.1'`);
      expect(await problemOf(clerk)).toContain('DELETE command denied');
    });

    it.each([
      ['CREATE TABLE dtc_outbox (id int, state int)', 'lacks the columns position, topic'],
      [
        'CREATE TABLE dtc_outbox_keys (name varchar(200) PRIMARY KEY, used_at datetime(3))',
        'has the collation',
      ],
      [
        'CREATE TABLE dtc_outbox_keys (name varchar(200), used_at datetime(3)) ENGINE=MyISAM',
        'uses the engine MyISAM',
      ],
    ])('does not start with %s', async (sql, problem) => {
      await bench.database.query(sql);
      expect(await problemOf({})).toContain(problem);
    });

    it('does not start without a server, and writes nothing before its start', async () => {
      const outbox = make({ connection: 'mysql://x:y@127.0.0.1:1/z', statementTimeoutMs: 1_000 });
      await expect(outbox.start()).rejects.toMatchObject({ code: 'DTC_OUTBOX_UNREACHABLE' });
      expect(() => outbox.statements(someBranch(), { topic: 't', payload: 1 })).toThrow(
        'has not found its tables',
      );
    });

    it('writes into its own database, whichever database the work has chosen', async () => {
      const [outbox, manager, branch] = [await open(), await bench.start(), someBranch()];
      await manager.prepare(branch, async (connection) => {
        await connection.query('USE mysql');
        await outbox.add(connection, branch, { topic: 'here', key: 'k', payload: 1 });
        return 'commit';
      });
      await manager.commit(again(branch));
      expect(await outbox.claim(1, 1)).toMatchObject([{ topic: 'here' }]);
    });

    it('holds the lock on a key over a crash of the server, also where two branches use it in one millisecond', async () => {
      const [outbox, manager] = [await open(), await bench.start()];
      const [first, second] = [someBranch(), someBranch()];
      for (const branch of [first, second]) {
        await manager.prepare(branch, async (connection) => {
          await connection.query('SET timestamp = 1790000000');
          await outbox.add(connection, branch, { topic: 'held', key: 'k', payload: 1 });
          return 'commit';
        });
        if (branch === first) await manager.commit(again(branch));
      }
      await bench.server.kill();
      await bench.server.restart();
      const other = await bench.database.connect();
      await other.query('SET innodb_lock_wait_timeout = 1');
      await expect(
        other.query("UPDATE dtc_outbox_keys SET used_at = UTC_TIMESTAMP(3) WHERE name = 'k'"),
      ).rejects.toMatchObject({ errno: 1205 });
    });

    it('takes messages of a batch', async () => {
      const [outbox, manager, branch] = [await open(), await bench.start(), someBranch()];
      const messages = ['one', 'two'].map((topic) => ({ topic, key: 'k', payload: topic }));
      const statements = outbox.statements(branch, ...messages);
      expect(statements).toHaveLength(4);
      expect(await manager.prepareBatch(branch, { statements, vote: () => 'commit' })).toBe('commit');
      await manager.commit(again(branch));
      expect(await outbox.claim(10, 60_000)).toMatchObject([{ topic: 'one' }]);
    });

    it('leaves no session at the server when it is closed', async () => {
      const outbox = await open();
      await outbox.claim(1, 1);
      await outbox.close();
      const sessions = async (): Promise<number> => {
        const rows = await bench.database.query<{ db: string; Command: string }>('SHOW PROCESSLIST');
        return rows.filter(({ db, Command }) => db === bench.database.name && Command === 'Sleep').length;
      };
      await expect.poll(sessions).toBe(0);
      await expect(outbox.claim(1, 1)).rejects.toThrow();
    });
  });
});

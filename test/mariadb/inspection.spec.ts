import type { Connection } from 'mysql2/promise';
import { describe, expect, it } from 'vitest';
import type { DatabaseInspection } from '../../src/coordinator/index.js';
import { gidOf, posting, useMariaDb } from '../support/mariadb/bench.js';
import { HOST, hasMariaDb } from '../support/mariadb/server.js';
import { again, someBranch, until } from '../support/postgres/branches.js';

const TAKE = "UPDATE accounts SET balance = balance - 1 WHERE name = 'ann'";

describe.runIf(hasMariaDb())('What a MariaDB participant shows of its server', () => {
  const bench = useMariaDb();

  function inspect(): Promise<DatabaseInspection> {
    return bench.make().inspect(AbortSignal.timeout(5_000));
  }

  /** InnoDB makes its list of waits anew only when it was not read for a tenth of a second. */
  async function inspectUntil(holds: (found: DatabaseInspection) => boolean): Promise<DatabaseInspection> {
    let found: DatabaseInspection | undefined;
    const look = async (): Promise<boolean> => holds((found = await inspect()));
    await expect.poll(look, { interval: 150, timeout: 10_000 }).toBe(true);
    return found!;
  }

  async function idOf(connection: Connection): Promise<number> {
    const [rows] = await connection.query('SELECT CONNECTION_ID() AS id');
    return (rows as { id: number }[])[0]!.id;
  }

  it('names a prepared branch, its age, the session that holds it, and statements that end it once that is gone', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    await manager.prepare(branch, posting('ann', -10));
    const { transactionId, branchId } = branch;

    const held = await inspect();
    expect(held.title).toMatch(/^MariaDB \d+\.\d+/);
    expect(held).toMatchObject({
      preparedTotal: 1,
      waits: [],
      notes: [],
      prepared: [
        {
          id: gidOf(branch),
          branch: { transactionId, participant: 'bank', branchId },
          session: expect.any(Number) as number,
        },
      ],
    });
    const { ageMs, session, statements } = held.prepared[0]!;
    expect(ageMs).toBeLessThan(60_000);
    expect(statements!.how).toContain(`KILL ${session};`);
    // What the text says is so.
    await expect(bench.database.query(statements!.commit)).rejects.toMatchObject({ errno: 1397 });

    await manager.close();
    let free: DatabaseInspection | undefined;
    await until('no session holds it', async () => {
      free = await inspect();
      return free.prepared[0]!.session === null;
    });
    expect(free!.prepared[0]!.statements!.how).not.toContain('KILL');
    await until('the server has released it', () =>
      bench.database.query(free!.prepared[0]!.statements!.commit).then(
        () => true,
        () => false,
      ),
    );
    expect((await inspect()).prepared).toEqual([]);
    await bench.make().commit(again(branch));
  });

  it('gives no statement for a branch that another program has prepared, whatever its id is', async () => {
    await bench.start();
    const other = await bench.database.connect();
    const id = "'it\\'s','<b>',7";
    await other.query(`XA START ${id}`);
    await other.query(TAKE);
    await other.query(`XA END ${id}`);
    await other.query(`XA PREPARE ${id}`);
    expect((await inspect()).prepared).toMatchObject([
      { id: "X'69742773',X'3c623e',7", branch: null, ageMs: null, statements: null },
    ]);
    await other.query(`XA ROLLBACK ${id}`);
  });

  it('shows which sessions wait for a prepared branch that a session holds, and for one that no session holds', async () => {
    const manager = await bench.start();
    const branch = someBranch();
    await manager.prepare(branch, posting('ann', -10));
    const waiter = await bench.database.connect();
    await waiter.query('SET innodb_lock_wait_timeout = 60');
    const over = waiter.query(TAKE);
    const held = await inspectUntil(({ waits }) => waits[0]?.session.state === 'query');
    expect(held).toMatchObject({
      waitsTotal: 1,
      waits: [
        {
          session: { user: 'root', state: 'query' },
          lock: expect.stringMatching(/^X on a row of `test_\d+`\.`accounts`$/) as string,
          blockedBy: [{ session: { id: held.prepared[0]!.session }, prepared: gidOf(branch) }],
        },
      ],
    });
    await manager.close();
    const free = await inspectUntil(({ waits }) => waits[0]?.blockedBy[0]?.session === null);
    expect(free.waits).toMatchObject([{ blockedBy: [{ session: null, prepared: null }] }]);
    const other = await bench.start();
    await until('it is rolled back', () =>
      other.rollback(again(branch)).then(
        () => true,
        () => false,
      ),
    );
    await over;
  });

  it('shows who waits for an ordinary session', async () => {
    await bench.start();
    const [holder, waiter] = [await bench.database.connect(), await bench.database.connect()];
    await holder.query('BEGIN');
    await holder.query(TAKE);
    const id = await idOf(holder);
    const waiting = await idOf(waiter);
    const over = waiter.query(TAKE);
    const found = await inspectUntil(({ waits }) => waits[0]?.session.id === waiting);
    expect(found.waits).toMatchObject([
      { blockedBy: [{ session: { id, user: 'root', state: 'sleep' }, prepared: null }] },
    ]);
    await holder.query('ROLLBACK');
    await over;
  });

  it('says which right is missing to see who waits', async () => {
    const first = await bench.start();
    await bench.server.createUser('teller', `ALL ON ${bench.database.name}.*`);
    const branch = someBranch();
    await first.prepare(branch, posting('ann', -10));
    const manager = bench.make({ connection: bench.database.urlBy({ user: 'teller' }) });
    expect(await manager.inspect(AbortSignal.timeout(5_000))).toMatchObject({
      prepared: [{ id: gidOf(branch) }],
      waits: [],
      notes: [`Who waits for whom is not shown: GRANT PROCESS ON *.* TO 'teller'@'${HOST}';`],
    });
    await first.rollback(again(branch));
  });
});

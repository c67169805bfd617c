import type { Connection } from 'mysql2/promise';
import { describe, expect, it } from 'vitest';
import type { Vote } from '../../../src/coordinator/index.js';
import { balanceOf, posting, useMariaDb } from '../../support/mariadb/bench.js';
import { hasMariaDb } from '../../support/mariadb/server.js';
import { again, someBranch } from '../../support/postgres/branches.js';

/** The settings decide whether such an error undoes one statement, or all of the transaction. */
describe.runIf(hasMariaDb())('Work that takes no notice of an error', () => {
  const bench = useMariaDb(['ann', 'bob'], {
    'innodb-rollback-on-timeout': 1,
    'innodb-snapshot-isolation': 1,
  });

  it('is not prepared where a lock time-out has rolled all of it back', async () => {
    const manager = await bench.start({ workConnections: 2 });
    const held = someBranch();
    await manager.prepare(held, posting('ann', -10));
    const errors: unknown[] = [];
    const vote = await manager.prepare(someBranch(), async (connection) => {
      await posting('bob', -10)(connection);
      await posting('ann', -10)(connection).catch((error: { errno: number }) => errors.push(error.errno));
      return 'commit';
    });
    expect(errors).toEqual([1205]);
    expect(vote).toMatchObject({ code: 'CANNOT_BE_PREPARED' });
    // The session is as new.
    const next = someBranch();
    expect(await manager.prepare(next, posting('bob', -1))).toBe('commit');
    await Promise.all([manager.commit(again(held)), manager.commit(again(next))]);
    expect([await balanceOf(bench.database, 'ann'), await balanceOf(bench.database, 'bob')]).toEqual([
      90, 99,
    ]);
  });

  it('that has read a row which has changed since is refused, and is not prepared when it goes on', async () => {
    const manager = await bench.start({ isolation: 'repeatable read' });
    const outdated = (handle: (answer: Promise<unknown>) => Promise<unknown>) =>
      manager.prepare(someBranch(), async (connection: Connection): Promise<Vote> => {
        await connection.query('SELECT * FROM accounts');
        await posting('bob', -10)(connection);
        await bench.database.query("UPDATE accounts SET balance = balance - 5 WHERE name = 'ann'");
        await handle(posting('ann', -10)(connection));
        return 'commit';
      });
    expect(await outdated((answer) => answer)).toMatchObject({
      code: 'SERIALIZATION_FAILURE',
      conflict: true,
      temporary: true,
    });
    expect(await outdated((answer) => answer.catch(() => {}))).toMatchObject({ code: 'CANNOT_BE_PREPARED' });
    expect(await balanceOf(bench.database, 'bob')).toBe(100);
  });
});

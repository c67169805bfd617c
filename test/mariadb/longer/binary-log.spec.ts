import { describe, expect, it } from 'vitest';
import { balanceOf, endOf, gidOf, posting, useMariaDb } from '../../support/mariadb/bench.js';
import { hasMariaDb } from '../../support/mariadb/server.js';
import { again, someBranch, until } from '../../support/postgres/branches.js';

describe.runIf(hasMariaDb())('A branch at a server with a binary log', () => {
  const bench = useMariaDb(['ann', 'bob'], { 'log-bin': 'binary', 'server-id': 1, 'sync-binlog': 1 });

  it('is still prepared after a crash, and ends as decided', async () => {
    const manager = await bench.start();
    const [kept, dropped] = [someBranch(), someBranch()];
    expect(await manager.prepare(kept, posting('ann', -10))).toBe('commit');
    expect(await manager.prepare(dropped, posting('bob', -10))).toBe('commit');
    await bench.server.kill();
    await bench.server.restart();
    expect(await bench.server.prepared()).toHaveLength(2);
    const ends = (call: () => Promise<void>): Promise<void> =>
      until('it has ended', () =>
        call().then(
          () => true,
          () => false,
        ),
      );
    await ends(() => manager.commit(again(kept)));
    await ends(() => manager.rollback(again(dropped)));
    expect([await balanceOf(bench.database, 'ann'), await balanceOf(bench.database, 'bob')]).toEqual([
      90, 100,
    ]);
    expect([await endOf(bench.database, gidOf(kept)), await endOf(bench.database, gidOf(dropped))]).toEqual([
      'committed',
      'rolled-back',
    ]);
    expect(await bench.database.query('SHOW BINARY LOGS')).not.toHaveLength(0);
  });

  it('is refused at the start where the log has statements, and the error names the setting', async () => {
    await bench.database.query('SET GLOBAL binlog_format = STATEMENT');
    const manager = bench.make();
    const error = await manager.start().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'DTC_MARIADB_XA_UNSUPPORTED' });
    const [remedy = ''] = /SET GLOBAL[^;]*/.exec((error as Error).message) ?? [];
    await bench.database.query(remedy);
    await manager.close();
    await bench.start();
  });
});

import { describe, expect, it } from 'vitest';
import { type Vote, refuse } from '../../src/coordinator/index.js';
import { balanceOf } from '../support/postgres/bank.js';
import { again, someBranch } from '../support/postgres/branches.js';
import { takeTen, useProxiedPostgres } from '../support/postgres/proxied.js';

const bench = useProxiedPostgres({ accounts: ['ann', 'bob'] });

describe('a commit in one phase', () => {
  const first = () => someBranch({ attempt: 1 });

  it('commits, and repeats its answer when it is asked again', async () => {
    const manager = await bench.manage();
    const branch = first();
    await expect(manager.commitOnePhase(branch, takeTen)).resolves.toBe('commit');
    await expect(manager.commitOnePhase(again(branch, 2), takeTen)).resolves.toBe('commit');
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it('whose answer is lost is found to be done', async () => {
    const manager = await bench.manage();
    bench.proxy.rule = (data) => (data.includes('COMMIT') ? 'cut-answer' : 'pass');
    const branch = first();
    await expect(manager.commitOnePhase(branch, takeTen)).rejects.toThrow();
    bench.proxy.repair();

    await expect(manager.commitOnePhase(again(branch, 2), takeTen)).resolves.toBe('commit');
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(90);
  });

  it('that never arrived is found to be undone, and stays so', async () => {
    const manager = await bench.manage();
    bench.proxy.rule = (data) => (data.includes('COMMIT') ? 'cut' : 'pass');
    const branch = first();
    await expect(manager.commitOnePhase(branch, takeTen)).rejects.toThrow();
    bench.proxy.repair();

    await expect(manager.commitOnePhase(again(branch, 2), takeTen)).resolves.toMatchObject({
      code: 'ROLLED_BACK',
    });
    await expect(manager.commitOnePhase(again(branch, 1), takeTen)).resolves.toMatchObject({
      code: 'ROLLED_BACK',
    });
    await expect(balanceOf(bench.database, 'ann')).resolves.toBe(100);
  });

  it('is refused when its work refuses or throws, because its end is then known', async () => {
    const manager = await bench.manage();
    const refusal = refuse('CLOSED', 'the bank is closed');
    await expect(manager.commitOnePhase(first(), async () => refusal)).resolves.toEqual(refusal);
    await expect(
      manager.commitOnePhase(first(), async () => {
        throw new TypeError('a mistake');
      }),
    ).resolves.toMatchObject({ code: 'WORK_FAILED', reason: 'a mistake' });
    await expect(manager.commitOnePhase(first(), async () => 'read-only')).resolves.toBe('commit');
  });

  it('does a batch as well', async () => {
    const manager = await bench.manage();
    const batch = (sql: string) => ({
      statements: [{ text: sql }],
      vote: ([result]: readonly { rowCount: number | null }[]): Vote =>
        result?.rowCount === 1 ? 'commit' : refuse('NO_ACCOUNT', 'there is none'),
    });
    const set = 'UPDATE accounts SET balance = 1 WHERE name = ';
    await expect(manager.commitBatchOnePhase(first(), batch(`${set} 'ann'`))).resolves.toBe('commit');
    await expect(manager.commitBatchOnePhase(first(), batch(`${set} 'eve'`))).resolves.toMatchObject({
      code: 'NO_ACCOUNT',
    });
  });
});

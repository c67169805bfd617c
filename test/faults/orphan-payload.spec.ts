import { describe, expect, it } from 'vitest';
import { type Branch, type PreparedBranch, branch, branchKey } from '../../src/coordinator/index.js';
import { createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { RestartableLog } from './restartable-log.js';

/** Prepares, and is left behind by a coordinator that ends before the decision. */
async function leftBehind(lists: (one: Branch) => PreparedBranch): Promise<unknown[]> {
  const log = new RestartableLog();
  const prepared = new Map<string, PreparedBranch>();
  const payloads: unknown[] = [];
  const stock = {
    prepare: (one: Branch) => {
      prepared.set(branchKey(one), lists(one));
      return 'commit' as const;
    },
    commit: () => {},
    rollback: (one: Branch) => {
      payloads.push(one.payload);
      prepared.delete(branchKey(one));
    },
    recover: () => [...prepared.values()],
  };
  const hangs = { prepare: () => new Promise<never>(() => {}), commit() {}, rollback() {} };
  const start = () =>
    createTestCoordinator({ name: 'shop', log, participants: { stock, hangs }, orphanSafetyMs: 100 });
  void start().transactions.run({ branches: [branch('stock', { sku: 'lamp' }), branch('hangs', {})] });
  await settled();
  const second = start();
  for (let pass = 0; pass < 4; pass++) {
    await second.recover();
    await second.clock.advance(100);
  }
  expect(prepared.size).toBe(0);
  return payloads;
}

describe('the payload of a branch that a coordinator has left behind', () => {
  it('is undefined in its rollback, because it went down with the coordinator', async () => {
    expect(await leftBehind(({ transactionId, branchId }) => ({ transactionId, branchId }))).toEqual([
      undefined,
    ]);
  });

  it('comes from the list of the participant, if it has stored it', async () => {
    const payloads = await leftBehind(({ transactionId, branchId, payload }) => ({
      transactionId,
      branchId,
      payload,
    }));
    expect(payloads).toEqual([{ sku: 'lamp' }]);
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type TransactionSummary, branch } from '../../src/coordinator/index.js';
import {
  ScriptedLastResource,
  ScriptedParticipant,
  createTestCoordinator,
} from '../../src/coordinator/testing/index.js';
import { SqliteDecisionLog } from '../../src/sqlite/index.js';
import { RestartableLog } from './restartable-log.js';
import { listenTo } from './told.js';

const LIMITS = { prepareTimeoutMs: 100, timeoutMs: 1_000, retryBaseMs: 10, retryCapMs: 10, maxAttempts: 2 };

describe('a payload that is replaced while a transaction with a last resource aborts', () => {
  it('leaves the record that names the last resource, which has refused: all are rolled back after a restart', async () => {
    const stock = new ScriptedParticipant({ rollback: 'throw' });
    const shop = new ScriptedLastResource({ commit: 'no' });
    const log = new RestartableLog();
    const all = { ...LIMITS, log, participants: { stock }, lastResources: { shop } };
    const before = createTestCoordinator(all);
    const told = listenTo(before.transactions.run({ branches: [branch('stock', 1), branch('shop', 2)] }));
    await before.clock.advance(500);
    const [{ transactionId }] = before.transactions.list() as readonly [TransactionSummary];
    expect(told.outcome).toMatchObject({ status: 'aborted', participant: 'shop' });

    expect(await before.transactions.replacePayload(transactionId, 'stock', 9)).toBe('replaced');
    expect([...log.decisions.values()]).toMatchObject([{ decider: { kind: 'branch', branchId: 'shop' } }]);

    stock.script = {};
    const after = createTestCoordinator(all);
    await after.recover();
    await after.clock.advance(500);
    expect(await after.transactions.decisionFor(transactionId)).toBe('abort');
    expect(stock.calls.map(({ method }) => method)).not.toContain('commit');
    expect(stock.calls.at(-1)).toMatchObject({ method: 'rollback' });
  });

  it('writes no record where another branch has refused, so that none was written before', async () => {
    const path = mkdtempSync(join(tmpdir(), 'last-resource-payloads-'));
    onTestFinished(() => rmSync(path, { recursive: true }));
    const log = new SqliteDecisionLog({ path });
    const claim = await log.open('shop');
    const stock = new ScriptedParticipant({ rollback: 'throw' });
    const books = new ScriptedParticipant({ prepare: 'no' });
    const shop = new ScriptedLastResource();
    const { transactions, clock } = createTestCoordinator({
      ...LIMITS,
      name: 'shop',
      log,
      claim,
      participants: { stock, books },
      lastResources: { shop },
    });
    const branches = [branch('stock', 1), branch('books', 1), branch('shop', 2)];
    const told = listenTo(transactions.run({ branches }));
    await clock.advance(500);
    const [{ transactionId }] = transactions.list() as readonly [TransactionSummary];
    expect(told.outcome).toMatchObject({ status: 'aborted', participant: 'books' });

    expect(await transactions.replacePayload(transactionId, 'stock', 9)).toBe('replaced');
    await log.close();
    const again = new SqliteDecisionLog({ path });
    const { decisions } = await again.open('shop');
    await again.close();
    expect(decisions).toEqual([]);
    expect(shop.calls).toEqual([]);
  });
});

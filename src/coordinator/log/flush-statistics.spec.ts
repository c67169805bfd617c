import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommitDecision } from './decision-log.js';
import { SqliteDecisionLog } from '../../sqlite/index.js';
import { MemoryDecisionLog } from './memory-decision-log.js';

let path: string;

beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'flush-statistics-'));
});

afterEach(() => {
  rmSync(path, { recursive: true });
});

function decision(id: string): CommitDecision {
  return { id, toRecord: () => ({ id, name: 'sale', decider: { kind: 'log' }, branches: [] }) };
}

describe('FlushStatistics', () => {
  it('of a log on SQLite count each flush with its time, and the records that shared it', async () => {
    const log = new SqliteDecisionLog({ path });
    await log.open('shop');
    const { durationsUs, batchSizes } = log.flushes;
    expect(durationsUs.count).toBe(0);

    await log.append(decision('shop.1.1'));
    expect([durationsUs.count, batchSizes.sum]).toEqual([1, 1]);
    expect(durationsUs.sum).toBeGreaterThan(0);

    await Promise.all(['2', '3', '4'].map((id) => log.append(decision(`shop.1.${id}`))));
    expect([durationsUs.count, batchSizes.sum]).toEqual([2, 4]);

    await log.close();
    await expect(log.append(decision('shop.1.5'))).rejects.toThrow('closed');
    expect([durationsUs.count, batchSizes.sum]).toEqual([2, 4]);
  });

  it('are not there for a log that does not flush', () => {
    expect(new MemoryDecisionLog()).not.toHaveProperty('flushes');
  });
});

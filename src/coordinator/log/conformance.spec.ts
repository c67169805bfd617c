import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type DecisionLogStorage, decisionLogConformance } from '../testing/decision-log-conformance.js';
import { MemoryDecisionLog } from './memory-decision-log.js';
import { SharedMemoryLog } from '../testing/shared-memory-log.js';
import { SharedMemoryStore } from '../testing/shared-memory-store.js';
import { SqliteDecisionLog } from '../../sqlite/index.js';

const memory = (): DecisionLogStorage => ({ createLog: () => new MemoryDecisionLog() });

function sqlite(): DecisionLogStorage {
  const path = mkdtempSync(join(tmpdir(), 'decision-log-'));
  return {
    createLog: () => new SqliteDecisionLog({ path }),
    remove: () => rmSync(path, { recursive: true }),
  };
}

describe('MemoryDecisionLog', () => {
  it.each(decisionLogConformance(memory, false))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

function shared(): DecisionLogStorage {
  const store = new SharedMemoryStore();
  return { createLog: () => new SharedMemoryLog(store), backUp: async () => store.backUp() };
}

describe('SharedMemoryLog', () => {
  it.each(decisionLogConformance(shared, 'shared'))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

describe('SqliteDecisionLog', () => {
  it.each(decisionLogConformance(sqlite))('$name', async ({ run }) => {
    await expect(run()).resolves.toBeUndefined();
  });
});

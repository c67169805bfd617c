import { describe, expect, it } from 'vitest';
import { MemoryDecisionLog } from './memory-decision-log.js';

describe('MemoryDecisionLog', () => {
  it('is a new log each time it is opened: another id, the first epoch, another token', () => {
    const log = new MemoryDecisionLog();
    const claims = Array.from({ length: 100 }, () => log.open());

    expect(new Set(claims.map(({ logId }) => logId)).size).toBe(100);
    expect(new Set(claims.map(({ token }) => token)).size).toBe(100);
    for (const { logId, epoch } of claims)
      expect([logId, epoch]).toEqual([expect.stringMatching(/^[0-9a-z]{12}$/), 1]);
  });

  it('knows its own run, and none before', () => {
    const log = new MemoryDecisionLog();
    const before = log.open();
    const { token } = log.open();

    expect(log.isOwnRun(1, token)).toBe(true);
    expect(log.isOwnRun(2, token)).toBe(false);
    expect(log.isOwnRun(1, before.token)).toBe(false);
  });

  it('knows nothing of earlier runs, and says so: nothing may be presumed of them', () => {
    expect(new MemoryDecisionLog().open('any')).toMatchObject({ durable: false, decisions: [] });
  });

  it('takes a decision at once, and has no answer to what became of an append: none can fail', async () => {
    const log = new MemoryDecisionLog();
    expect(log.append()).toBeUndefined();
    expect(log.end()).toBeUndefined();
    await expect(log.check()).resolves.toBeUndefined();
    await expect(log.lookUp()).rejects.toThrow('nothing to look up');
  });
});

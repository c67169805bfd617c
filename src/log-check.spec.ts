import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkLog } from './log-check.js';
import { SqliteDecisionLog } from './sqlite/index.js';

let path: string;
let log: SqliteDecisionLog;
let id: string;

beforeEach(async () => {
  path = mkdtempSync(join(tmpdir(), 'log-check-'));
  log = new SqliteDecisionLog({ path });
  const { logId } = await log.open('shop');
  id = `shop.${logId}.1.1`;
});
afterEach(async () => {
  await log.close();
  rmSync(path, { recursive: true });
});

/** @param acknowledged the participants that have. */
function decide(acknowledged: readonly string[] = ['order']): Promise<void> {
  const branches = ['order', 'payment'].map((participant, index) => ({
    branchId: String(index),
    participant,
    payload: {},
    completed: acknowledged.includes(participant),
  }));
  return log.append({ id, toRecord: () => ({ id, name: 'sale', decider: { kind: 'log' }, branches }) });
}

describe('the check of an embedded log', () => {
  it('names each decision with the participants that have not acknowledged it, until it has ended', async () => {
    await decide();
    await log.close();

    const { isEmpty, lines } = await checkLog(path, 'shop');

    expect(isEmpty).toBe(false);
    expect(lines).toEqual([
      `${id}: commit is decided, and was not acknowledged by payment`,
      expect.stringMatching(/holds 1 decisions and 0 reports\. Keep it: start its process again/),
    ]);
    await log.open('shop');
    log.end(id);
    await log.close();
    expect(await checkLog(path, 'shop')).toEqual({
      isEmpty: true,
      lines: [`The log in ${join(path, 'shop')} holds no decision and no report. It is needed no longer.`],
    });
  });

  it('names a decision that all have acknowledged and that the lists of the participants keep', async () => {
    await decide(['order', 'payment']);
    await log.close();

    const { isEmpty, lines } = await checkLog(path, 'shop');

    expect(isEmpty).toBe(false);
    expect(lines[0]).toMatch(
      /all have acknowledged it\. It stays until the participants no longer list its branches$/,
    );
  });

  it('names each report that was not forgotten', async () => {
    await log.report({
      id,
      name: 'sale',
      decision: 'commit',
      branchId: '1',
      participant: 'payment',
      kind: 'hazard',
      reason: 'the branch is not there',
    });
    await log.close();

    const { isEmpty, lines } = await checkLog(path, 'shop');

    expect(isEmpty).toBe(false);
    expect(lines[0]).toBe(`${id}: payment has reported hazard (the branch is not there), not forgotten yet`);
  });

  it('refuses a log whose process runs, and makes none where there is none', async () => {
    await expect(checkLog(path, 'shop')).rejects.toMatchObject({ code: 'DTC_LOG_IN_USE' });
    await expect(checkLog(path, 'depot')).rejects.toThrow(/no decision log in .*depot/);
    await expect(checkLog(path, 'depot')).rejects.toThrow(/no decision log in .*depot/);
  });
});

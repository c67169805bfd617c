import assert from 'node:assert/strict';
import type { LogClaim } from '../log/decision-log.js';
import { type Check, NAME, claimOf, withLog } from './decision-log-fixtures.js';

/** The requirements for the identity of every log and of its runs. */
export const IDENTITY_CHECKS: Readonly<Record<string, Check>> = {
  'no two starts give out the same log id and epoch, or the same token': async (create) => {
    const claims: LogClaim[] = [];
    for (let run = 0; run < 4; run++) claims.push(await claimOf(create));
    assert.equal(new Set(claims.map(({ logId, epoch }) => `${logId}.${epoch}`)).size, 4);
    assert.equal(new Set(claims.map(({ token }) => token)).size, 4);
  },
  'knows its own run, and no other': async (create) => {
    await withLog(create, async (log, { epoch, token }) => {
      assert.equal(await log.isOwnRun(epoch, token), true);
      for (const [otherEpoch, otherToken] of [
        [epoch, `${token}0`],
        [epoch, ''],
        [epoch + 1, token],
        [epoch - 1, token],
        [0, ''],
      ] as const) {
        assert.equal(await log.isOwnRun(otherEpoch, otherToken), false);
      }
    });
  },
};

/** Further requirements for the identity of a log whose decisions outlive it. */
export const DURABLE_IDENTITY_CHECKS: Readonly<Record<string, Check>> = {
  'keeps its id, and counts its starts from 1': async (create) => {
    const claims: LogClaim[] = [];
    for (let run = 0; run < 4; run++) claims.push(await claimOf(create));
    assert.equal(new Set(claims.map(({ logId }) => logId)).size, 1);
    assert.deepEqual(
      claims.map(({ epoch }) => epoch),
      [1, 2, 3, 4],
    );
  },
  'knows every earlier run, each by its epoch and token together': async (create) => {
    const past: LogClaim[] = [];
    for (let run = 0; run < 3; run++) past.push(await claimOf(create));
    await withLog(create, async (log) => {
      for (const { epoch, token } of past) {
        assert.equal(await log.isOwnRun(epoch, token), true);
        assert.equal(await log.isOwnRun(epoch + 1, token), false);
      }
    });
  },
  'counts a start that is refused later': async (create) => {
    const refused = create();
    const { epoch, token } = await refused.open(NAME);
    await refused.close();
    const next = create();
    assert.equal((await next.open(NAME)).epoch, epoch + 1);
    assert.equal(await next.isOwnRun(epoch, token), true);
    await next.close();
  },
};

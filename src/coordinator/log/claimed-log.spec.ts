import { describe, expect, it } from 'vitest';
import { MemoryDecisionLog } from './memory-decision-log.js';
import { ClaimedLog } from './claimed-log.js';
import { claimOf, runOf } from '../../../test/support/identity.js';

function claimed(durable = true): ClaimedLog {
  return new ClaimedLog(new MemoryDecisionLog(), 'shop', claimOf({ epoch: 7, durable }));
}

describe('ClaimedLog', () => {
  it('is what was claimed, until another claims it', () => {
    const log = claimed();
    expect(log).toMatchObject({
      epoch: 7,
      durable: true,
      isLost: false,
      isBroken: false,
      problem: undefined,
    });
    expect(log.run).toEqual(runOf({ epoch: 7 }));
    expect(Object.isFrozen(log.run)).toBe(true);
    expect(claimed(false).durable).toBe(false);
    log.lose();
    expect(log.isLost).toBe(true);
  });

  it.each([new Error('disk full'), 'disk full'])(
    'has the problem that it last had, until it works again',
    (error) => {
      const log = claimed();
      log.failed(new Error('away'));
      log.failed(error);
      expect(log).toMatchObject({ problem: 'disk full', isBroken: false, isLost: false });
      log.succeeded();
      expect(log).toMatchObject({ problem: undefined, isBroken: false });
    },
  );

  it('is broken for good by the error that says so, whatever comes after it', () => {
    const log = claimed();
    log.failed(Object.assign(new Error('a flush failed'), { code: 'DTC_LOG_BROKEN' }));
    expect(log.isBroken).toBe(true);
    log.failed(new Error('away'));
    log.succeeded();
    expect(log).toMatchObject({ isBroken: true, problem: 'a flush failed', problemCode: 'DTC_LOG_BROKEN' });
  });

  it.each([
    ['another has claimed it', 'DTC_FENCED'],
    ['it is behind', 'DTC_LOG_BEHIND'],
  ])('is lost when a write is refused because %s, and says so once', (_, code) => {
    let timesLost = 0;
    const log = new ClaimedLog(new MemoryDecisionLog(), 'shop', claimOf(), () => timesLost++);
    log.failed(new Error('away'));
    expect(log.isLost).toBe(false);

    for (let write = 0; write < 2; write++) {
      log.failed(Object.assign(new Error('no more'), { code }));
    }
    const isBehind = code === 'DTC_LOG_BEHIND';
    expect(log).toMatchObject({ isLost: true, problem: 'no more', isBehind });
    expect(timesLost).toBe(1);

    log.claimedAgain(claimOf({ epoch: 8 }));
    log.failed(Object.assign(new Error('of the run before'), { code }), runOf({ epoch: 7 }));
    expect(log).toMatchObject({ isLost: false, problem: undefined });
  });

  it.each([undefined, null])('takes even %s for a failure', (thrown) => {
    const log = claimed();
    log.failed(thrown);
    expect(log).toMatchObject({ problem: String(thrown), isBroken: false });
  });
});

import { describe, expect, it } from 'vitest';
import { LOG_ID, OTHER_LOG_ID, idOf } from '../../test/support/identity.js';
import { RunsOfHost } from './runs.js';

const wireRun = { name: 'shop', logId: LOG_ID, epoch: 3, token: 'third', durable: true };

describe('The runs that call a host', () => {
  it('know which transactions are over, also those of whole epochs', () => {
    const runs = new RunsOfHost();
    const run = runs.of(wireRun);
    expect(runs.of({ ...wireRun })).toBe(run);
    runs.raise(LOG_ID, [
      { epoch: 1, sequence: 5 },
      { epoch: 3, sequence: 2 },
    ]);
    runs.raise(OTHER_LOG_ID, [{ epoch: 2, sequence: 7 }]);
    const unsettled = (epoch: number, sequence: number, log = LOG_ID): unknown =>
      run.isUnsettled!(idOf('shop', epoch, sequence, log));
    expect([unsettled(1, 5), unsettled(1, 6), unsettled(3, 2), unsettled(3, 3)]).toEqual([
      false,
      true,
      false,
      true,
    ]);
    runs.raise(LOG_ID, [{ epoch: 0, sequence: 2 }]);
    expect([unsettled(1, 6), unsettled(2, 1), unsettled(3, 2), unsettled(3, 3)]).toEqual([
      false,
      false,
      false,
      true,
    ]);
    // The mark of another log stays what it was.
    expect([unsettled(2, 7, OTHER_LOG_ID), unsettled(2, 8, OTHER_LOG_ID)]).toEqual([false, true]);
  });
});

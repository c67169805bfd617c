import { describe, expect, it } from 'vitest';
import { type LogScript, ScriptedLog } from '../../../test/faults/scripted-log.js';
import { LogUnavailableError } from '../log/log-errors.js';
import { ManualClock, createTestCoordinator, settled } from '../testing/index.js';

describe('Recovery of a log that failed', () => {
  /** A coordinator whose log has failed to take a record, and answers inquiries as the script says. */
  function failing(check: NonNullable<LogScript['check']>) {
    let asked = 0;
    const log = new ScriptedLog({
      check: () => {
        asked++;
        return check();
      },
    });
    const coordinator = createTestCoordinator({ log, clock: new ManualClock(100_000) });
    coordinator.runtime.log.failed(new Error('no space left'));
    const pass = async (): Promise<void> => {
      void coordinator.recover();
      await settled();
    };
    return { ...coordinator, pass, asked: () => asked };
  }

  it('does not ask a log that takes records', async () => {
    const { runtime, pass, asked } = failing(() => Promise.resolve());
    runtime.log.succeeded();
    await pass();

    expect(asked()).toBe(0);
  });

  it('admits transactions again when the log reports that it works', async () => {
    const { transactions, pass, asked } = failing(() => Promise.resolve());
    expect(() => transactions.begin()).toThrow(LogUnavailableError);

    await pass();
    expect((await transactions.begin().commit()).status).toBe('committed');
    await pass();
    expect(asked()).toBe(1);
  });

  it('admits no transaction while the log fails, gives its latest error, and asks again in each pass', async () => {
    const failures = ['the quota is used up', 'the disk is read-only'];
    const { runtime, transactions, pass, asked } = failing(() => Promise.reject(new Error(failures.shift())));

    await pass();
    expect(runtime.log.problem).toBe('the quota is used up');
    await pass();
    expect(runtime.log.problem).toBe('the disk is read-only');
    expect(() => transactions.begin()).toThrow(LogUnavailableError);
    expect(asked()).toBe(2);
  });

  it('asks a log that does not answer again after ten seconds, and not before', async () => {
    const { clock, pass, asked, runtime } = failing(() => new Promise(() => {}));
    await pass();
    await pass();
    await clock.advance(9_999, 1_000);
    await pass();
    expect(asked()).toBe(1);

    await clock.advance(1);
    await pass();
    expect(asked()).toBe(2);
    expect(runtime.log.problem).toContain('no space left');
  });

  it('asks at once even if the clock has run for less than that', async () => {
    let asked = 0;
    const log = new ScriptedLog({ check: async () => void asked++ });
    const { runtime, recover } = createTestCoordinator({ log, clock: new ManualClock(1) });
    runtime.log.failed(new Error('no space left'));
    await recover();

    expect(asked).toBe(1);
  });
});

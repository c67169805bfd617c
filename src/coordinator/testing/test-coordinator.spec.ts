import { describe, expect, it } from 'vitest';
import { TurnClock } from '../execution/clock.js';
import { MemoryDecisionLog } from '../log/memory-decision-log.js';
import { branch } from '../participant/branch-request.js';
import { ScriptedParticipant } from './scripted-participant.js';
import { createTestCoordinator } from './test-coordinator.js';

describe('createTestCoordinator', () => {
  it('needs no options, and runs transactions over registered participants', async () => {
    const { transactions, participants } = createTestCoordinator();
    const stock = new ScriptedParticipant();
    participants.register(stock, { name: 'stock' });

    const outcome = await transactions.run({ branches: [branch('stock', 1)] });

    expect(outcome.status).toBe('committed');
    expect(stock.effectOn(outcome.transactionId, 'stock')).toBe('committed');
  });

  it('lets time-outs pass when the clock is moved, and not before', async () => {
    const { transactions, clock } = createTestCoordinator({
      participants: { stock: new ScriptedParticipant({ prepare: 'hang' }) },
      prepareTimeoutMs: 500,
    });
    const running = transactions.run({ branches: [branch('stock', 1)] });
    let over = false;
    void running.then(() => (over = true));

    await clock.advance(499);
    expect(over).toBe(false);
    await clock.advance(1);

    await expect(running).resolves.toMatchObject({ status: 'aborted', cause: 'timed-out' });
  });

  it('retries after pauses with the chosen jitter, by default half of the longest', async () => {
    const flaky = ScriptedParticipant.flaky(2);
    const { transactions, clock } = createTestCoordinator({ participants: { flaky }, retryBaseMs: 100 });
    const running = transactions.run({ branches: [branch('flaky', 1)] });

    await clock.advance(0);
    for (const [ms, attempts] of [
      [49, 1],
      [12, 2],
      [88, 2],
      [12, 3],
    ] as const) {
      await clock.advance(ms, 1);
      expect(flaky.count('commit')).toBe(attempts);
    }
    await expect(running).resolves.toMatchObject({ status: 'committed' });
  });

  it('leaves a stalled branch until recover()', async () => {
    const flaky = ScriptedParticipant.flaky(1);
    const { transactions, clock, recover } = createTestCoordinator({
      participants: { flaky },
      maxAttempts: 1,
    });
    const { transactionId } = await transactions.run({ branches: [branch('flaky', 1)] });
    await clock.advance(60_000, 1_000);
    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTING', stalled: true });

    await recover();

    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED', stalled: false });
  });

  it('accepts another clock, with explicit calls of sweep(), and another log', async () => {
    class UnsureLog extends MemoryDecisionLog {
      override append(): never {
        throw new Error('the log is away');
      }
      override lookUp(): Promise<'absent'> {
        return Promise.resolve('absent');
      }
    }
    const { transactions, sweep, clock } = createTestCoordinator({
      participants: {
        stock: new ScriptedParticipant(),
        hanging: new ScriptedParticipant({ prepare: 'hang' }),
      },
      clock: new TurnClock(),
      log: new UnsureLog(),
      prepareTimeoutMs: 1,
    });
    expect(clock).toBeInstanceOf(TurnClock);

    await expect(transactions.run({ branches: [branch('stock', 1)] })).resolves.toMatchObject({
      status: 'aborted',
      cause: 'not-recorded',
    });
    const running = transactions.run({ branches: [branch('hanging', 1)] });
    await new Promise((resolve) => setTimeout(resolve, 5));
    sweep();
    await expect(running).resolves.toMatchObject({ status: 'aborted', cause: 'timed-out' });
  });

  it('refuses impossible options like the module', () => {
    expect(() => createTestCoordinator({ maxAttempts: 0 })).toThrow(
      expect.objectContaining({ code: 'DTC_INVALID_OPTIONS' }),
    );
  });
});

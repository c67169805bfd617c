import { describe, expect, it } from 'vitest';
import { FencedError, branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant, settled } from '../../src/coordinator/testing/index.js';
import { restarted } from './restarted.js';
import type { LogScript } from './scripted-log.js';
import { listenTo } from './told.js';

describe('A coordinator whose log another coordinator has claimed', () => {
  const fenced: LogScript = {
    append: () => Promise.reject(new Error('the epoch is over')),
    lookUp: () => Promise.resolve('fenced' as const),
  };

  it('fault 28 §: tells pending, and sends nothing more for the transaction, neither commit nor rollback', async () => {
    const stock = new ScriptedParticipant();
    const { transactions, clock, recover } = restarted([], { participants: { stock } }, fenced);

    const outcome = await transactions.run({ branches: [branch('stock', 1)] });
    await clock.advance(120_000, 1_000);
    await recover();

    expect(outcome).toMatchObject({ status: 'pending', decision: 'unknown' });
    expect(stock.calls.map(({ method }) => method)).toEqual(['prepare']);
    expect(transactions.find(outcome.transactionId)?.state).toBe('READY');
  });

  it('starts nothing more, and is not healthy', async () => {
    const stock = new ScriptedParticipant();
    const { transactions, runtime } = restarted([], { participants: { stock } }, fenced);
    await transactions.run({ branches: [branch('stock', 1)] });

    await expect(transactions.run({ branches: [branch('stock', 1)] })).rejects.toThrow(FencedError);
    expect(() => transactions.begin()).toThrow(FencedError);
    expect(runtime.admission.isOpen).toBe(false);
    expect(runtime.registry.inFlight).toBe(0);
  });

  it('fault 57 §: still accepts a late answer of the log that the record was taken before', async () => {
    const appended = Promise.withResolvers<void>();
    const stock = new ScriptedParticipant();
    const { transactions, clock } = restarted(
      [],
      { participants: { stock } },
      { append: () => appended.promise, lookUp: () => Promise.resolve('fenced' as const) },
    );
    const told = listenTo(transactions.run({ branches: [branch('stock', 1)] }));
    await clock.advance(20_000, 1_000);
    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'unknown' });

    appended.resolve();
    await settled();

    expect(stock.count('commit')).toBe(1);
    expect(transactions.find(told.outcome!.transactionId)?.state).toBe('COMMITTED');
  });
});

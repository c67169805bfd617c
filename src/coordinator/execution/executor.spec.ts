import { getEventListeners } from 'node:events';
import { describe, expect, it, vi } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import { listenTo } from '../../../test/faults/told.js';
import type { Outcome } from '../outcome.js';
import { branch } from '../participant/branch-request.js';
import type { Branch } from '../participant/participant.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../testing/index.js';
import type { TransactionObserver } from './observer.js';

/** An observer whose every method is a spy. */
function spies() {
  const methods = new Map<string | symbol, ReturnType<typeof vi.fn>>();
  const observer = new Proxy({} as TransactionObserver, {
    get: (_, name) => methods.get(name) ?? methods.set(name, vi.fn()).get(name),
  });
  return {
    observer,
    on: (name: Exclude<keyof TransactionObserver, 'hearsSteps'>) => vi.mocked(observer[name]!),
  };
}

function setUp(script: ParticipantScript = {}, options: TestCoordinatorOptions = {}) {
  const { observer, on } = spies();
  const coordinator = createTestCoordinator({ observer, timeoutMs: 1_000, maxAttempts: 1_000, ...options });
  const stock = new ScriptedParticipant(script, coordinator.clock);
  coordinator.participants.register(stock, { name: 'stock' });
  const recordOf = (id: string) => coordinator.runtime.registry.find(id)!;
  return { ...coordinator, stock, recordOf, on };
}

describe('The reason of an abort', () => {
  it('is the one that decided: later events do not change it', async () => {
    const { transactions, runtime, recordOf } = setUp({ rollback: 'hang' });
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));
    expect(await transaction.rollback('first')).toMatchObject({ reason: 'first' });
    await transaction.rollback('second');
    runtime.executor.stopWaiting(recordOf(transaction.id));

    expect(transaction.state).toBe('ABORTING');
    expect(recordOf(transaction.id).extras!.abortReason).toBe('first');
  });

  it('is the shutdown, if the shutdown caused it', async () => {
    const { transactions, runtime, recordOf } = setUp({ prepare: 'hang' });
    const transaction = transactions.begin();
    transaction.enlist(branch('stock', 1));
    const outcome = transaction.commit();
    runtime.executor.stopWaiting(recordOf(transaction.id));

    expect(await outcome).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(recordOf(transaction.id).extras!.abortReason).toBe(
      'the coordinator shut down before it was decided',
    );
  });

  it('is not the cancellation, if the caller cancelled too late', async () => {
    const answer = Promise.withResolvers<void>();
    const { transactions, clock } = setUp({}, { log: new ScriptedLog({ append: () => answer.promise }) });
    const caller = new AbortController();
    const outcome = transactions.run({ branches: [branch('stock', 1)], signal: caller.signal });
    await clock.advance(100);
    caller.abort(new Error('changed my mind'));
    answer.reject(new Error('away'));

    expect(await outcome).toMatchObject({
      status: 'aborted',
      cause: 'not-recorded',
      reason: expect.stringContaining('proven not to be in the log'),
    });
  });
});

describe('The end of a transaction', () => {
  it('happens once, even if a late answer makes one more rollback necessary', async () => {
    const late = { delayMs: 1_500, then: { answer: 'commit' } } as const;
    const { transactions, clock, runtime, stock, recordOf, on } = setUp({ prepare: late });
    const outcome = transactions.run({ branches: [branch('stock', 1)] });
    await clock.advance(1_000);
    const { transactionId } = await outcome;
    const { decidedAt, endedAt } = recordOf(transactionId);
    expect([decidedAt, endedAt]).toEqual([2_000, 2_000]);
    await clock.advance(1_000);

    expect(stock.count('rollback')).toBe(2);
    expect(recordOf(transactionId).endedAt).toBe(endedAt);
    expect(runtime.registry.inFlight).toBe(0);
    expect(on('ended')).toHaveBeenCalledTimes(1);
    expect(on('lateAnswer')).toHaveBeenCalledTimes(1);
  });

  it.each<[string, ParticipantScript, Outcome['status'], number]>([
    ['committed, which is reported with the end', {}, 'committed', 0],
    ['aborted', { prepare: 'no' }, 'aborted', 1],
    ['a heuristic outcome', { commit: { heuristic: 'hazard' } }, 'heuristic', 1],
  ])('the observer is told that the caller was told %s', async (_, script, status, times) => {
    const { transactions, on } = setUp(script);
    const outcome = await transactions.run({ branches: [branch('stock', 1)] });

    expect(outcome.status).toBe(status);
    expect(on('told').mock.calls.map(([, told]) => told)).toEqual(times === 0 ? [] : [outcome]);
  });

  it("leaves no listener on the caller's signal", async () => {
    const { transactions } = setUp();
    const { signal } = new AbortController();
    const outcome = transactions.run({ branches: [branch('stock', 1)], signal });
    expect(getEventListeners(signal, 'abort')).toHaveLength(1);
    await outcome;

    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });
});

describe('A one-phase refusal', () => {
  it('is reported to the observer, and decides abort', async () => {
    const { transactions, on } = setUp({ commitOnePhase: { refuse: 'NO', reason: 'none left' } });
    const outcome = await transactions.run({ branches: [branch('stock', 1)] });

    expect(outcome).toMatchObject({ status: 'aborted', cause: 'refused', code: 'NO', reason: 'none left' });
    const concerned = expect.objectContaining({ branchId: 'stock' });
    expect(on('prepareFailed').mock.calls).toEqual([[concerned, 'refused', 'none left']]);
  });
});

describe('Signals that are first requested after the end', () => {
  it('of a prepare are already aborted', async () => {
    const { transactions, participants, clock } = setUp();
    let kept: Branch | undefined;
    const hanging = {
      prepare: (one: Branch) => {
        kept = one;
        return new Promise<never>(() => {});
      },
      commit() {},
      rollback() {},
    };
    participants.register(hanging, { name: 'hanging' });
    const outcome = transactions.run({ branches: [branch('hanging', 1)] });
    await clock.advance(1_000);
    await outcome;

    expect(kept!.signal.reason).toMatchObject({ code: 'DTC_ABORTED' });
  });

  it('of a rollback attempt that was given up are already aborted', async () => {
    const kept: Branch[] = [];
    const { transactions, participants, clock } = setUp({}, { completionTimeoutMs: 300 });
    const hanging = {
      prepare: () => 'commit' as const,
      commit() {},
      rollback: (one: Branch) => {
        kept.push(one);
        return new Promise<never>(() => {});
      },
    };
    participants.register(hanging, { name: 'hanging' });
    const transaction = transactions.begin();
    transaction.enlist(branch('hanging', 1));
    await transaction.rollback();
    await clock.advance(300);

    expect(kept[0]!.signal.reason).toMatchObject({ code: 'DTC_ATTEMPT_ABANDONED' });
  });
});

describe('A second caller that asks for the outcome later', () => {
  it('is told that it is pending while the commit continues', async () => {
    const heard: Promise<Outcome>[] = [];
    const { transactions, participants, clock } = setUp({}, { completionWaitMs: 500, retryBaseMs: 1_000 });
    let calls = 0;
    const asking = {
      prepare: () => 'commit' as const,
      commit: () => {
        if (++calls === 1) throw new Error('not yet');
        heard.push(transactions.current()!.commit());
      },
      rollback() {},
    };
    participants.register(asking, { name: 'asking', ambient: true });
    const told = listenTo(transactions.run({ branches: [branch('asking', 1)] }));
    await clock.advance(5_000);

    expect(told.outcome).toMatchObject({ status: 'pending', decision: 'commit' });
    expect(await Promise.all(heard)).toMatchObject([{ status: 'pending', decision: 'commit' }]);
  });
});

describe('A transaction whose examination throws', () => {
  it('is reported, and delays no deadline of another', async () => {
    const { transactions, clock, on } = setUp({ prepare: 'hang' });
    const defect = new Error('this observer is broken');
    on('prepareFailed').mockImplementationOnce(() => {
      throw defect;
    });
    const first = transactions.begin();
    first.enlist(branch('stock', 1));
    void first.commit();
    const second = transactions.run({ branches: [branch('stock', 2)], timeoutMs: 1_000 });
    await settled();
    await clock.advance(1_000, 1_000);

    expect(await second).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(on('defect')).toHaveBeenCalledWith(defect, `examining ${first.id}`, expect.anything());
  });
});

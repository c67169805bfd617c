import { describe, expect, it } from 'vitest';
import { branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';
import { listenTo } from '../faults/told.js';

const DAY_MS = 86_400_000;
const SEED = 20_260_805;

/** Chance that a run can repeat: a linear feedback shift register (Marsaglia, "Xorshift RNGs", 2003). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4_294_967_296;
  };
}

describe('A transaction that lives long', () => {
  it('an attempt that hangs after more than 12 days still times out, and the recovery job continues', async () => {
    const old = new ScriptedParticipant({ commit: 'throw' });
    const { transactions, clock, recover } = createTestCoordinator({
      participants: { old, sound: new ScriptedParticipant() },
      maxAttempts: 1,
      completionTimeoutMs: 1_000,
    });
    const { transactionId, status } = await transactions.run({
      branches: [branch('old', 1), branch('sound', 1)],
    });
    expect(status).toBe('pending');
    await clock.advance(13 * DAY_MS, DAY_MS);

    old.script = { commit: ['hang', 'yes'] };
    let isOver = false;
    const pass = recover().then(() => (isOver = true));
    await clock.advance(990);
    expect(isOver).toBe(false);
    await clock.advance(10);
    expect(isOver).toBe(true);
    await pass;

    await recover();
    expect(transactions.find(transactionId)).toMatchObject({ state: 'COMMITTED', stalled: false });
  });

  it('a heuristic report cannot be forgotten before the end, so that the caller is told of it', async () => {
    const gate = Promise.withResolvers<void>();
    const { transactions } = createTestCoordinator({
      participants: {
        odd: new ScriptedParticipant({ commit: { heuristic: 'rollback' } }),
        slow: new ScriptedParticipant({ commit: { until: gate.promise } }),
      },
    });
    const transaction = transactions.begin();
    transaction.enlist(branch('odd', 1));
    transaction.enlist(branch('slow', 1));
    const told = listenTo(transaction.commit());
    await settled();

    expect(transactions.forget(transaction.id)).toBe(false);
    expect(told.outcome).toBeUndefined();
    gate.resolve();
    await settled();

    expect(told.outcome).toMatchObject({
      status: 'heuristic',
      reports: [{ participant: 'odd', kind: 'rollback' }],
    });
    expect(transactions.forget(transaction.id)).toBe(true);
  });

  it('forgotten after its end, its reports are gone from its view, and it is kept no longer than others', async () => {
    const { transactions, runtime } = createTestCoordinator({
      participants: {
        odd: new ScriptedParticipant({ commit: { heuristic: 'rollback' } }),
        sound: new ScriptedParticipant(),
      },
    });
    const { transactionId } = await transactions.run({ branches: [branch('odd', 1), branch('sound', 1)] });
    expect(transactions.find(transactionId)).toMatchObject({ heuristic: 'mixed' });
    expect(runtime.registry.unsettled.size).toBe(1);

    transactions.forget(transactionId);

    expect(transactions.find(transactionId)).toMatchObject({ heuristic: null });
    expect(runtime.registry.unsettled.size).toBe(0);
  });
});

describe('The queue at a participant', () => {
  it('heuristic reports count against maxStalled until they are forgotten', async () => {
    const { transactions, runtime } = createTestCoordinator({
      participants: {
        odd: new ScriptedParticipant({ commit: { heuristic: 'hazard' } }),
        sound: new ScriptedParticipant(),
      },
      maxStalled: 3,
    });
    const run = () => transactions.run({ branches: [branch('odd', 1), branch('sound', 1)] });
    const reports = [await run(), await run(), await run()];

    await expect(run()).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_STALLED', participant: 'odd' });
    expect(runtime.registry.unsettled.size).toBe(3);
    expect(await transactions.run({ branches: [branch('sound', 1)] })).toMatchObject({ status: 'committed' });

    transactions.forget(reports[0]!.transactionId);
    expect(await run()).toMatchObject({ status: 'heuristic' });
    await expect(run()).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_STALLED' });
  });

  it('a participant whose reports are forgotten is not refused because of transactions that have stalled at another', async () => {
    const { transactions } = createTestCoordinator({
      participants: {
        odd: new ScriptedParticipant({ commit: { heuristic: 'hazard' } }),
        stuck: new ScriptedParticipant({ commit: 'throw' }),
      },
      maxAttempts: 1,
      maxStalled: 1,
    });
    const run = (name: string) => transactions.run({ branches: [branch(name, 1)] });
    const { transactionId } = await run('odd');
    transactions.forget(transactionId);
    expect(await run('stuck')).toMatchObject({ status: 'pending' });

    await expect(run('stuck')).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_STALLED' });
    expect(await run('odd')).toMatchObject({ status: 'heuristic' });
  });

  it('branches that hang at one participant do not delay the recovery of those at another', async () => {
    const hanging = new ScriptedParticipant({ commit: 'throw' });
    const repaired = new ScriptedParticipant({ commit: 'throw' });
    const { transactions, participants, runtime, clock, recover } = createTestCoordinator({
      participants: { hanging, repaired, sound: new ScriptedParticipant() },
      maxAttempts: 1,
      recoveryConcurrency: 2,
      completionTimeoutMs: 1_000,
    });
    for (const name of ['hanging', 'hanging', 'hanging', 'hanging', 'repaired']) {
      await transactions.run({ branches: [branch(name, 1), branch('sound', 1)] });
    }
    hanging.script = { commit: 'hang' };
    repaired.script = {};

    const pass = recover();
    await settled();

    expect(runtime.registry.unresolvedAt(participants.resolve('repaired')).stalled).toBe(0);
    expect(runtime.registry.unresolvedAt(participants.resolve('hanging')).stalled).toBe(4);
    expect(hanging.count('commit')).toBe(4 + 2);
    await clock.advance(2_000, 1_000);
    await pass;
    expect(hanging.count('commit')).toBe(4 + 4);
  });

  it(`nothing, after 1,500 transactions of all kinds under small limits (seed ${SEED})`, async () => {
    const random = seeded(SEED);
    const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;
    const many = <T>(choices: readonly T[]): T[] => Array.from({ length: 4_000 }, () => pick(choices));
    const { clock } = createTestCoordinator();
    const scripted = () =>
      new ScriptedParticipant(
        {
          prepare: many([
            'yes',
            'no',
            'read-only',
            'throw',
            'throw-after',
            'hang',
            { delayMs: 500 },
            { delayMs: 9_000 },
            { delayMs: 9_000, then: 'no' },
            { delayMs: 9_000, then: 'throw' },
          ] as const),
          commit: many(['yes', 'yes', 'throw', { heuristic: 'hazard' }, 'hang', { delayMs: 3_000 }] as const),
          rollback: many(['yes', 'yes', 'throw', 'hang', { delayMs: 3_000 }] as const),
        },
        clock,
      );
    const { transactions, recover, runtime } = createTestCoordinator({
      clock,
      participants: { a: scripted(), b: scripted(), c: scripted() },
      maxInFlight: 16,
      retainFinished: 5,
      maxAttempts: 2,
      random,
    });
    const branches = ['a', 'b', 'c'].map((name) => branch(name, 1));
    const ends: Promise<string>[] = [];
    const passes: Promise<void>[] = [];
    for (let number = 0; number < 1_500; number++) {
      const running = transactions.run({ branches: branches.slice(0, pick([1, 2, 3])) });
      ends.push(
        running.then(
          ({ status }) => status,
          ({ code }: { code: string }) => code,
        ),
      );
      if (number % 8 === 0) await clock.advance(200, 100);
      if (number % 100 === 0) {
        passes.push(recover());
        await clock.advance(3_000, 500);
      }
    }
    for (let pass = 0; pass < 60; pass++) {
      passes.push(recover());
      await clock.advance(5_000, 500);
    }
    await Promise.all(passes);
    expect(new Set(await Promise.all(ends))).toEqual(
      new Set(['committed', 'aborted', 'pending', 'heuristic', 'DTC_OVERLOADED', 'DTC_PARTICIPANT_SILENT']),
    );

    const { registry } = runtime;
    const stillReported = [...registry.unsettled];
    expect(stillReported.every(({ hasHeuristics, endedAt }) => hasHeuristics && endedAt > 0)).toBe(true);
    for (const { id } of stillReported) transactions.forget(id);
    const kept: string[] = [];
    registry.forEach(({ id }) => kept.push(id));
    expect(registry.inFlight).toBe(0);
    expect(registry.unsettled.size).toBe(0);
    expect(kept).toHaveLength(5);
    expect(new Set(kept).size).toBe(5);
  });
});

describe('The count of reports that no operator has dealt with', () => {
  const reportsOf = (participants: Record<string, ScriptedParticipant>) => {
    const coordinator = createTestCoordinator({ participants, prepareTimeoutMs: 100 });
    const open = (name: string) =>
      coordinator.runtime.registry.unresolvedAt(coordinator.participants.resolve(name)).reports;
    return { ...coordinator, open };
  };

  it('leaves out a report that agrees with the decision', async () => {
    const { transactions, open } = reportsOf({
      odd: new ScriptedParticipant({ commit: { heuristic: 'commit' } }),
      other: new ScriptedParticipant(),
    });
    const outcome = await transactions.run({ branches: [branch('odd', 1), branch('other', 1)] });
    expect(outcome.status).toBe('committed');
    expect(open('odd')).toBe(0);
  });

  it('counts a branch once that reports again after a late answer, and forgets it once', async () => {
    const late = Promise.withResolvers<void>();
    const { transactions, clock, open } = reportsOf({
      odd: new ScriptedParticipant({ prepare: { until: late.promise }, rollback: { heuristic: 'hazard' } }),
      quick: new ScriptedParticipant({ rollback: { heuristic: 'hazard' } }),
    });
    const running = transactions.run({ branches: [branch('odd', 1), branch('quick', 1)] });
    await clock.advance(200);
    const { transactionId } = await running;
    expect([open('odd'), open('quick')]).toEqual([1, 1]);

    late.resolve();
    await settled();
    expect([open('odd'), open('quick')]).toEqual([1, 1]);

    transactions.forget(transactionId);
    expect([open('odd'), open('quick')]).toEqual([0, 0]);
    expect(transactions.forget(transactionId)).toBe(false);
  });
});

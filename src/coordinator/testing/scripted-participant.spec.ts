import { beforeEach, describe, expect, it } from 'vitest';
import { branch } from '../participant/branch-request.js';
import type { Branch } from '../participant/participant.js';
import { ManualClock, settled } from './manual-clock.js';
import { type Behaviour, type ParticipantScript, ScriptedParticipant } from './scripted-participant.js';
import { type TestCoordinator, createTestCoordinator } from './test-coordinator.js';
import { runOf } from '../../../test/support/identity.js';

/** A branch as a coordinator would pass it. */
function branchOf(transactionId: string, payload: unknown = null): Branch {
  const signal = new AbortController().signal;
  return { transactionId, branchId: 'b', payload, deadline: 0, attempt: 0, signal, run: runOf() };
}

/** The result of a call: its answer, its error, or nothing. */
async function resultOf(call: Promise<unknown>): Promise<unknown> {
  const pending = Symbol('pending');
  const settledCall = call.then(
    (answer) => ({ answer }),
    (error: Error) => ({ error: error.message }),
  );
  const result = await Promise.race([settledCall, settled().then(() => pending)]);
  return result === pending ? 'no answer' : result;
}

describe('a behaviour', () => {
  const scripted = { error: 'scripted failure' };
  const table: [behaviour: Behaviour, prepare: unknown, effect: unknown, commit: unknown][] = [
    ['yes', { answer: 'commit' }, 'prepared', { answer: undefined }],
    ['no', { answer: 'abort' }, undefined, { answer: undefined }],
    ['read-only', { answer: 'read-only' }, undefined, { answer: undefined }],
    [
      { refuse: 'NO_FUNDS', reason: 'too dear' },
      { answer: { vote: 'abort', code: 'NO_FUNDS', reason: 'too dear' } },
      undefined,
      { answer: undefined },
    ],
    [
      { refuse: 'NO_FUNDS' },
      { answer: { vote: 'abort', code: 'NO_FUNDS', reason: 'scripted' } },
      undefined,
      { answer: undefined },
    ],
    ['throw', scripted, undefined, scripted],
    [
      'throw-after',
      { error: 'scripted failure after the effect' },
      'prepared',
      { error: 'scripted failure after the effect' },
    ],
    ['hang', 'no answer', undefined, 'no answer'],
    ['hang-after', 'no answer', 'prepared', 'no answer'],
    [{ answer: 42 }, { answer: 42 }, 'prepared', { answer: undefined }],
    [{ heuristic: 'mixed' }, { error: 'scripted' }, undefined, { error: 'scripted' }],
    [{ until: Promise.resolve(), then: 'no' }, { answer: 'abort' }, undefined, { answer: undefined }],
    [{ until: new Promise(() => {}) }, 'no answer', undefined, 'no answer'],
    [{ delayMs: 0, then: 'no' }, 'no answer', undefined, 'no answer'],
  ];

  for (const [behaviour, prepare, effect, commit] of table) {
    it(`${JSON.stringify(behaviour)} in prepare and in commit`, async () => {
      const clock = new ManualClock();
      const participant = new ScriptedParticipant({ prepare: behaviour, commit: behaviour }, clock);

      await expect(resultOf(participant.prepare(branchOf('t')))).resolves.toEqual(prepare);
      expect(participant.effectOn('t', 'b')).toBe(effect);
      await expect(resultOf(participant.commit(branchOf('t')))).resolves.toEqual(commit);
    });
  }

  it('slow: by the manual clock when it has one', async () => {
    const clock = new ManualClock();
    const participant = new ScriptedParticipant({ prepare: { delayMs: 30, then: 'no' } }, clock);
    const answer = participant.prepare(branchOf('t'));
    await clock.advance(29);
    await expect(resultOf(answer)).resolves.toBe('no answer');

    await clock.advance(1);

    await expect(resultOf(answer)).resolves.toEqual({ answer: 'abort' });
  });

  it('slow: by the real clock when it has none', async () => {
    const participant = new ScriptedParticipant({ prepare: { delayMs: 20 } });
    const startedAt = performance.now();

    await expect(participant.prepare(branchOf('t'))).resolves.toBe('commit');

    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(18);
  });
});

describe('a script', () => {
  async function answers(participant: ScriptedParticipant, calls: number): Promise<unknown[]> {
    const results: unknown[] = [];
    for (let call = 0; call < calls; call++) {
      results.push(await resultOf(participant.prepare(branchOf(`t${Math.random()}`))));
    }
    return results;
  }
  const yes = { answer: 'commit' };
  const no = { answer: 'abort' };

  it('of several behaviours uses one for each call, and repeats its last', async () => {
    await expect(answers(new ScriptedParticipant({ prepare: ['yes', 'no'] }), 4)).resolves.toEqual([
      yes,
      no,
      no,
      no,
    ]);
  });

  it('of no behaviour is yes', async () => {
    await expect(answers(new ScriptedParticipant({ prepare: [] }), 2)).resolves.toEqual([yes, yes]);
  });

  it('that replaces another starts with its first behaviour, whatever was called before', async () => {
    const participant = new ScriptedParticipant();
    await answers(participant, 3);

    participant.script = { prepare: ['no', 'yes'] };

    await expect(answers(participant, 2)).resolves.toEqual([no, yes]);
    expect(participant.count('prepare')).toBe(5);
  });

  it('flaky fails the given number of times in the named methods, and then recovers', async () => {
    const participant = ScriptedParticipant.flaky(2, ['prepare', 'rollback']);
    const failure = { error: 'scripted failure' };

    await expect(answers(participant, 3)).resolves.toEqual([failure, failure, yes]);
    await expect(resultOf(participant.commit(branchOf('t')))).resolves.toEqual({ answer: undefined });
    await expect(resultOf(participant.rollback(branchOf('u')))).resolves.toEqual(failure);
  });
});

describe('rule 6 of participants', () => {
  let participant: ScriptedParticipant;
  beforeEach(() => (participant = new ScriptedParticipant()));

  it('repeats give the first answer and have no further effect', async () => {
    const prepared = branchOf('t');
    await participant.prepare(prepared);
    await expect(participant.prepare(prepared)).resolves.toBe('commit');
    await participant.commit(prepared);
    await expect(participant.commit(prepared)).resolves.toBeUndefined();
    await expect(participant.prepare(prepared)).resolves.toBe('commit');

    expect(participant.effectOn('t', 'b')).toBe('committed');
  });

  it('a prepare after its rollback is refused, even for a branch that never prepared', async () => {
    await participant.rollback(branchOf('t'));

    await expect(participant.prepare(branchOf('t'))).resolves.toMatchObject({ code: 'ROLLED_BACK' });
    expect(participant.effectOn('t', 'b')).toBe('rolled-back');
  });

  it('fault 45: a decision against the present end is answered with a heuristic report', async () => {
    await participant.prepare(branchOf('t'));
    await participant.commit(branchOf('t'));
    await participant.rollback(branchOf('u'));

    await expect(participant.rollback(branchOf('t'))).rejects.toMatchObject({
      code: 'DTC_HEURISTIC',
      kind: 'commit',
    });
    await expect(participant.commit(branchOf('u'))).rejects.toMatchObject({
      code: 'DTC_HEURISTIC',
      kind: 'rollback',
    });
    expect(participant.effectOn('t', 'b')).toBe('committed');
    expect(participant.effectOn('u', 'b')).toBe('rolled-back');
  });
});

describe('under a coordinator', () => {
  function coordinatorOf(script: ParticipantScript): {
    participant: ScriptedParticipant<{ sku: string }>;
    coordinator: TestCoordinator;
  } {
    const participant = new ScriptedParticipant<{ sku: string }>(script);
    return { participant, coordinator: createTestCoordinator({ participants: { stock: participant } }) };
  }

  it('its calls can be read after the end, each as it was', async () => {
    const { participant, coordinator } = coordinatorOf({});

    const { transactionId } = await coordinator.transactions.run({
      branches: [branch('stock', { sku: 'pen' })],
    });

    const common = { transactionId, branchId: 'stock', payload: { sku: 'pen' } };
    expect(participant.calls).toMatchObject([
      { method: 'prepare', branch: { ...common, attempt: 0 } },
      { method: 'commit', branch: { ...common, attempt: 1 } },
    ]);
    expect(participant.calls[0]?.branch.signal.aborted).toBe(false);
    expect(participant.effectOn(transactionId, 'stock')).toBe('committed');
  });

  it('is one-phase when its script says so, and then votes there', async () => {
    const { participant, coordinator } = coordinatorOf({ commitOnePhase: ['yes', 'no', 'throw', 'yes'] });
    const run = (): Promise<{ status: string }> =>
      coordinator.transactions.run({ branches: [branch('stock', { sku: 'pen' })] });

    await expect(run()).resolves.toMatchObject({ status: 'committed' });
    await expect(run()).resolves.toMatchObject({ status: 'aborted', cause: 'refused' });
    const third = run();
    await coordinator.clock.advance(100);
    await expect(third).resolves.toMatchObject({ status: 'committed' });

    expect(participant.count('commitOnePhase')).toBe(4);
    expect(participant.count('prepare')).toBe(0);
  });
});

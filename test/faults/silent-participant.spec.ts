import { describe, expect, it } from 'vitest';
import { branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator } from '../../src/coordinator/testing/index.js';

const TIMEOUT_MS = 800;
/** How many transactions try it in that time. */
const TRIALS = 8;
const SILENT = { code: 'DTC_PARTICIPANT_SILENT', participant: 'silent' };

function coordinator() {
  const silent = new ScriptedParticipant({ prepare: 'hang' });
  const sound = new ScriptedParticipant();
  const made = createTestCoordinator({
    participants: { silent, sound },
    prepareTimeoutMs: TIMEOUT_MS,
    timeoutMs: 10 * TIMEOUT_MS,
  });
  const { transactions, clock } = made;
  const run = () => transactions.run({ branches: [branch('sound', 1), branch('silent', 1)] });
  /** Runs transactions at the same time, and lets the time of their prepares pass. */
  const missed = async (count: number) => {
    const outcomes = Promise.all(Array.from({ length: count }, run));
    await clock.advance(TIMEOUT_MS);
    return outcomes;
  };
  return { ...made, silent, sound, run, missed };
}

describe('A participant that does not answer its prepares (fault 16)', () => {
  it('is tried by eight transactions in the time of a prepare, and the others are refused at once', async () => {
    const { clock, silent, sound, run, missed, transactions, runtime } = coordinator();
    for (const outcome of await missed(3)) expect(outcome).toMatchObject({ cause: 'timed-out' });

    const refusals: unknown[] = [];
    const results: Promise<unknown>[] = [];
    for (let ms = 0; ms < TIMEOUT_MS; ms += 10) {
      results.push(run().catch((error: unknown) => refusals.push(error)));
      await clock.advance(10);
    }
    expect(refusals).toHaveLength(results.length - TRIALS);
    for (const refusal of refusals) expect(refusal).toMatchObject(SILENT);
    expect(refusals[0]).toMatchObject({ retryAfterMs: TIMEOUT_MS / TRIALS - 10 });
    expect(silent.count('prepare')).toBe(3 + TRIALS);
    // A refused transaction has done nothing at the other participants.
    expect(sound.count('prepare')).toBe(3 + TRIALS);
    expect(runtime.admission.refusals.get('DTC_PARTICIPANT_SILENT')).toBe(refusals.length);
    await expect(transactions.run({ branches: [branch('sound', 1)] })).resolves.toMatchObject({
      status: 'committed',
    });
    await clock.advance(TIMEOUT_MS);
    await Promise.all(results);
  });

  it.each(['yes', 'no', 'throw'] as const)(
    'gets every transaction again after an answer: %s',
    async (answer) => {
      const { silent, run, missed } = coordinator();
      await missed(3);
      silent.script = { prepare: [answer, 'yes'] };
      await run();
      for (const outcome of await Promise.all([run(), run(), run()])) {
        expect(outcome).toMatchObject({ status: 'committed' });
      }
    },
  );

  it('is not silent yet when it answers one of three prepares', async () => {
    const { silent, run, missed } = coordinator();
    await missed(2);
    silent.script = { prepare: ['no', 'hang'] };
    await run();
    await missed(2);
    silent.script = {};
    await expect(Promise.all([run(), run()])).resolves.toHaveLength(2);
  });

  it('is asked again by all when nothing was known of it for twice the time of a prepare', async () => {
    const { clock, silent, run, missed } = coordinator();
    await missed(3);
    silent.script = {};
    await clock.advance(2 * TIMEOUT_MS);
    for (const outcome of await Promise.all([run(), run()])) {
      expect(outcome).toMatchObject({ status: 'committed' });
    }
  });

  it('is enlisted twice by the transaction that tries it', async () => {
    const { transactions, silent, missed } = coordinator();
    await missed(3);
    silent.script = {};
    const twice = { branches: [branch('silent', 1), branch('silent', 2)] };
    await expect(transactions.run(twice)).resolves.toMatchObject({ status: 'committed' });
  });

  it('refuses a branch of a transaction that is open, which may go on without it', async () => {
    const { transactions, run, missed, clock } = coordinator();
    await missed(3);
    const tried = run();
    const transaction = transactions.begin();
    transaction.enlist(branch('sound', 1));
    expect(() => transaction.enlist(branch('silent', 1))).toThrow(expect.objectContaining(SILENT));
    await expect(transaction.commit()).resolves.toMatchObject({ status: 'committed' });
    await clock.advance(TIMEOUT_MS);
    await tried;
  });
});

import { Logger } from '@nestjs/common';
import { describe, expect, it, vi } from 'vitest';
import { branch } from '../../src/coordinator/index.js';
import {
  ManualClock,
  ScriptedParticipant,
  type TestCoordinatorOptions,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { Reporter } from '../../src/coordinator/observation/reporter.js';
import { NO_EVENTS, NO_LINES } from '../../src/coordinator/observation/silent-reporting.fixture.js';

const TIMEOUT_MS = 800;
/** How many transactions try it in that time. */
const TRIALS = 8;
/** After this time without an answer, and the next look at it, transactions ask it first. */
const DOUBTED_AFTER_MS = TIMEOUT_MS / TRIALS + 100;
const SILENT = { code: 'DTC_PARTICIPANT_SILENT', participant: 'silent' };

function coordinator(options: TestCoordinatorOptions = {}) {
  const clock = new ManualClock();
  const silent = new ScriptedParticipant({ prepare: 'hang' }, clock);
  const sound = new ScriptedParticipant({}, clock);
  const made = createTestCoordinator({
    clock,
    participants: { silent, sound },
    prepareTimeoutMs: TIMEOUT_MS,
    timeoutMs: 10 * TIMEOUT_MS,
    ...options,
  });
  const { transactions, runtime } = made;
  const isAny = () => runtime.executor.voting.silent.isAny;
  const run = () => transactions.run({ branches: [branch('sound', 1), branch('silent', 1)] });
  /** Runs transactions at the same time, and lets the time of their prepares pass. */
  const missed = async (count: number) => {
    const outcomes = Promise.all(Array.from({ length: count }, run));
    await clock.advance(TIMEOUT_MS);
    return outcomes;
  };
  return { ...made, silent, sound, run, missed, isAny };
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
    // Neither those that were refused nor those that try it have asked the other participants.
    expect(sound.count('prepare')).toBe(3);
    expect(runtime.admission.refusals.get('DTC_PARTICIPANT_SILENT')).toBe(refusals.length);
    await expect(transactions.run({ branches: [branch('sound', 1)] })).resolves.toMatchObject({
      status: 'committed',
    });
    await clock.advance(TIMEOUT_MS);
    await Promise.all(results);
  });

  it('is reported once, with its name, and so is its first answer', async () => {
    const { clock, silent, run, missed } = coordinator({ observer: new Reporter(NO_LINES, NO_EVENTS) });
    const lines: [string, string][] = [];
    const note = (level: string) => (line: unknown) => void lines.push([level, String(line)]);
    Logger.overrideLogger({ log: note('log'), warn() {}, error: note('error') });
    await missed(5);
    await missed(1);
    silent.script = {};
    await run();
    await clock.advance(10);
    Logger.overrideLogger(false);

    expect(lines).toEqual([
      ['error', expect.stringMatching(/^does not answer: .*participant: 'silent', prepareTimeoutMs: 800/)],
      ['log', expect.stringMatching(/^every transaction asks it again .*participant: 'silent'/)],
    ]);
  });

  it('is reported at most once a minute, when it falls silent again and again', async () => {
    const reports: string[] = [];
    const observer = new Reporter(NO_LINES, NO_EVENTS);
    vi.spyOn(observer, 'silent').mockImplementation(({ name }) => void reports.push(`${name} is silent`));
    vi.spyOn(observer, 'heard').mockImplementation(({ name }) => void reports.push(`${name} is heard`));
    const { clock, silent, run, missed } = coordinator({ observer });
    for (let ms = 0; ms < 59_000; ms += TIMEOUT_MS + 10) {
      silent.script = { prepare: 'hang' };
      await missed(3);
      silent.script = {};
      await run();
      await clock.advance(10);
    }
    expect(reports).toEqual(['silent is silent', 'silent is heard']);
    silent.script = { prepare: 'hang' };
    await clock.advance(1_000);
    await missed(3);
    // Nothing asks it any more, so that nothing is known of it.
    await clock.advance(2 * TIMEOUT_MS);
    expect(reports.slice(2)).toEqual(['silent is silent', 'silent is heard']);
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

  it('is asked again by all transactions when it has said nothing for twice the time of a prepare', async () => {
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

  it('is not silent because callers have less time than it has', async () => {
    const { transactions, clock, silent, sound } = coordinator();
    silent.script = { prepare: { delayMs: 40 } };
    const hasty = { timeoutMs: 20, branches: [branch('sound', 1), branch('silent', 1)] };
    for (let time = 0; time < 5; time++) {
      const outcome = transactions.run(hasty);
      await clock.advance(20);
      await expect(outcome).resolves.toMatchObject({ cause: 'timed-out' });
    }
    const patient = Promise.all([1, 2].map(() => transactions.run({ branches: hasty.branches })));
    await clock.advance(40);
    for (const outcome of await patient) expect(outcome).toMatchObject({ status: 'committed' });
    expect(sound.count('rollback')).toBe(5);
  });

  it('is not silent because one transaction has several branches there', async () => {
    const { transactions, clock, silent, run } = coordinator();
    const branches = [1, 2, 3, 4].map((payload) => branch('silent', payload));
    const outcome = transactions.run({ branches });
    await clock.advance(TIMEOUT_MS);
    await expect(outcome).resolves.toMatchObject({ cause: 'timed-out' });
    silent.script = {};
    for (const one of await Promise.all([run(), run()])) expect(one).toMatchObject({ status: 'committed' });
  });

  it('is not silent because the coordinator stood still', async () => {
    const { clock, silent, run } = coordinator();
    const outcomes = Promise.all([run(), run(), run()]);
    await clock.advance(TIMEOUT_MS * 2, TIMEOUT_MS * 2);
    for (const outcome of await outcomes) expect(outcome).toMatchObject({ cause: 'timed-out' });
    silent.script = {};
    for (const one of await Promise.all([run(), run()])) expect(one).toMatchObject({ status: 'committed' });
  });

  it('is still tried by the next transaction when one before it has failed to start', async () => {
    const { transactions, silent, run, missed } = coordinator();
    await missed(3);
    silent.script = {};
    const unknown = { branches: [branch('silent', 1), branch('nowhere', 1)] };
    await expect(transactions.run(unknown)).rejects.toMatchObject({ code: 'DTC_UNKNOWN_PARTICIPANT' });
    await expect(run()).resolves.toMatchObject({ status: 'committed' });
  });

  it('may commit a transaction in one phase, which shows that it answers', async () => {
    const { transactions, participants, clock } = coordinator();
    const both = new ScriptedParticipant({ prepare: 'hang', commitOnePhase: 'yes' });
    participants.register(both, { name: 'both' });
    const run = () => transactions.run({ branches: [branch('sound', 1), branch('both', 1)] });
    const outcomes = Promise.all([run(), run(), run()]);
    await clock.advance(TIMEOUT_MS);
    await outcomes;
    const tried = run();
    await expect(run()).rejects.toMatchObject({ code: 'DTC_PARTICIPANT_SILENT' });
    const alone = { branches: [branch('both', 1)] };
    await expect(transactions.run(alone)).resolves.toMatchObject({ status: 'committed' });
    both.script = {};
    await expect(run()).resolves.toMatchObject({ status: 'committed' });
    await clock.advance(TIMEOUT_MS);
    await tried;
  });

  it('is not asked for the answer to an earlier request with the same key', async () => {
    const { transactions, silent, run, missed, clock } = coordinator();
    silent.script = {};
    const keyed = { key: 'order-1', branches: [branch('sound', 1), branch('silent', 1)] };
    const first = await transactions.run(keyed);
    silent.script = { prepare: 'hang' };
    await missed(3);
    const tried = run();
    await expect(transactions.run(keyed)).resolves.toMatchObject({ transactionId: first.transactionId });
    await expect(transactions.run({ ...keyed, key: 'order-2' })).rejects.toMatchObject(SILENT);
    silent.script = {};
    await clock.advance(TIMEOUT_MS);
    await tried;
    await expect(transactions.run({ ...keyed, key: 'order-2' })).resolves.toMatchObject({
      status: 'committed',
    });
  });

  it('is not taken for those at other places, where it stands for many', async () => {
    const { transactions, participants, clock } = coordinator();
    const many = Object.assign(new ScriptedParticipant({ prepare: 'hang' }), { isMany: true });
    participants.register(many, { name: 'many' });
    const run = () => transactions.run({ branches: [branch('sound', 1), branch('many', 1)] });
    const outcomes = Promise.all([run(), run(), run(), run()]);
    await clock.advance(TIMEOUT_MS);
    await outcomes;
    many.script = {};
    for (const one of await Promise.all([run(), run()])) expect(one).toMatchObject({ status: 'committed' });
  });
});

describe('A participant that owes answers and gives none (fault 16)', () => {
  /** Has it hang for long enough that the next transactions doubt it. */
  async function doubted() {
    const made = coordinator();
    const first = made.run();
    await made.clock.advance(DOUBTED_AFTER_MS);
    return { ...made, first };
  }

  it('is asked before the others, which do nothing for a transaction that it does not answer', async () => {
    const { run, clock, silent, sound, first } = await doubted();
    const outcome = run();
    await clock.advance(TIMEOUT_MS);
    for (const one of [await first, await outcome]) expect(one).toMatchObject({ cause: 'timed-out' });
    expect([silent.count('prepare'), silent.count('rollback')]).toEqual([2, 2]);
    expect([sound.count('prepare'), sound.count('rollback')]).toEqual([1, 2]);
    expect(await outcome).toMatchObject({ participant: 'silent' });
  });

  it('is asked before the others until it has answered, and these are asked at once then', async () => {
    const { transactions, participants, run, clock, silent, sound, first, isAny } = await doubted();
    const third = new ScriptedParticipant({ prepare: ['hang', 'yes'] });
    participants.register(third, { name: 'third' });
    const gate = Promise.withResolvers<void>();
    silent.script = { prepare: [{ until: gate.promise, then: 'yes' }, 'yes'] };
    sound.script = { prepare: ['hang', 'yes'] };
    const outcome = transactions.run({
      branches: [branch('sound', 1), branch('silent', 1), branch('third', 1)],
    });
    await settled();
    expect([silent.count('prepare'), sound.count('prepare'), third.count('prepare')]).toEqual([2, 1, 0]);
    gate.resolve();
    await settled();
    expect([silent.count('prepare'), sound.count('prepare'), third.count('prepare')]).toEqual([2, 2, 1]);
    await clock.advance(100);
    expect(isAny()).toBe(false);
    const next = run();
    expect(sound.count('prepare')).toBe(3);
    expect(await next).toMatchObject({ status: 'committed' });
    await clock.advance(TIMEOUT_MS);
    expect(await outcome).toMatchObject({ cause: 'timed-out' });
    await first;
  });

  it('is asked before the others, which are asked in turn then if they conflict', async () => {
    const { transactions, participants, clock, silent, sound, first } = await doubted();
    const third = new ScriptedParticipant();
    participants.register(third, { name: 'third' });
    sound.script = { prepare: [{ refuse: 'LOCKED', conflict: true }, 'hang'] };
    const open = transactions.begin();
    open.enlist(branch('sound', 1));
    await open.commit();
    silent.script = {};
    const outcome = transactions.run({
      branches: [branch('third', 1), branch('sound', 1), branch('silent', 1)],
    });
    await settled();
    expect([silent.count('prepare'), sound.count('prepare'), third.count('prepare')]).toEqual([2, 3, 0]);
    await clock.advance(TIMEOUT_MS);
    expect(await outcome).toMatchObject({ cause: 'timed-out', participant: 'sound' });
    await first;
  });

  it('is asked at the same time as others of its kind, and all have to vote before the rest is asked', async () => {
    const { transactions, participants, clock, silent, sound, first } = await doubted();
    const third = new ScriptedParticipant({ prepare: 'hang' });
    participants.register(third, { name: 'third' });
    const more = transactions.run({ branches: [branch('third', 1)] });
    await clock.advance(DOUBTED_AFTER_MS);
    const gate = Promise.withResolvers<void>();
    third.script = { prepare: { until: gate.promise, then: 'yes' } };
    silent.script = {};
    const outcome = transactions.run({
      branches: [branch('sound', 1), branch('silent', 1), branch('third', 1)],
    });
    await settled();
    expect([silent.count('prepare'), third.count('prepare'), sound.count('prepare')]).toEqual([2, 2, 1]);
    gate.resolve();
    expect(await outcome).toMatchObject({ status: 'committed' });
    await clock.advance(TIMEOUT_MS);
    await Promise.all([first, more]);
  });

  it('is asked with the others if the time is not enough for two rounds', async () => {
    const { transactions, clock, silent, sound, first } = await doubted();
    const time = TIMEOUT_MS - 50;
    for (const one of [silent, sound]) one.script = { prepare: { delayMs: time, then: 'yes' } };
    const branches = [branch('sound', 1), branch('silent', 1)];
    const outcome = transactions.run({ branches, timeoutMs: 2 * TIMEOUT_MS - 1 });
    await clock.advance(time);
    expect(await outcome).toMatchObject({ status: 'committed' });
    await first;
  });

  it('is not one that always takes long', async () => {
    const { run, clock, silent, sound, isAny } = coordinator();
    silent.script = { prepare: { delayMs: TIMEOUT_MS - 200, then: 'yes' } };
    const first = run();
    await clock.advance(TIMEOUT_MS - 100);
    expect(await first).toMatchObject({ status: 'committed' });
    for (let number = 0; number < 3; number++) {
      const outcome = run();
      await clock.advance(TIMEOUT_MS - 250);
      expect(isAny()).toBe(false);
      const next = run();
      expect(sound.count('prepare')).toBe(3 + 2 * number);
      await clock.advance(TIMEOUT_MS);
      for (const one of [await outcome, await next]) expect(one).toMatchObject({ status: 'committed' });
    }
  });

  it('is not one that has answered late', async () => {
    const { clock, silent, transactions, isAny } = coordinator();
    const gate = Promise.withResolvers<void>();
    silent.script = { prepare: { until: gate.promise, then: 'yes' } };
    const slow = transactions.run({ timeoutMs: 20, branches: [branch('sound', 1), branch('silent', 1)] });
    await clock.advance(20);
    expect(await slow).toMatchObject({ cause: 'timed-out' });
    gate.resolve();
    await clock.advance(DOUBTED_AFTER_MS);
    expect(isAny()).toBe(false);
  });

  it('is not one that was asked nothing for long', async () => {
    const { clock, isAny, first } = await doubted();
    expect(isAny()).toBe(true);
    await clock.advance(2 * TIMEOUT_MS);
    expect(isAny()).toBe(false);
    await first;
  });

  it('is not one whose answers wait while the coordinator stands still', async () => {
    const { clock, run, isAny, silent, sound } = coordinator();
    const gate = Promise.withResolvers<void>();
    silent.script = { prepare: [{ until: gate.promise, then: 'yes' }, 'yes'] };
    const first = run();
    await clock.advance(50);
    await clock.advance(TIMEOUT_MS / 2, TIMEOUT_MS / 2);
    expect(isAny()).toBe(false);
    const next = run();
    expect(sound.count('prepare')).toBe(2);
    gate.resolve();
    for (const one of [await first, await next]) expect(one).toMatchObject({ status: 'committed' });
  });

  it('is asked in the order that the caller has chosen', async () => {
    const { transactions, clock, silent, sound, participants, first } = await doubted();
    participants.register(new ScriptedParticipant(), { name: 'third' });
    const branches = [branch('sound', 1), branch('third', 1)];
    sound.script = { prepare: 'hang' };
    const more = transactions.run({ branches: [branch('sound', 1)] });
    await clock.advance(DOUBTED_AFTER_MS);
    // The participant that is silent was registered first.
    const outcome = transactions.run({ branches: [...branches, branch('silent', 1)], prepareInTurn: true });
    expect([silent.count('prepare'), sound.count('prepare')]).toEqual([2, 2]);
    await clock.advance(TIMEOUT_MS);
    await Promise.all([outcome, first, more]);
  });

  it('is asked with the others by an open transaction, whose caller may have worked at all of them', async () => {
    const { transactions, clock, sound, first } = await doubted();
    const open = transactions.begin();
    open.enlist(branch('sound', 1));
    open.enlist(branch('silent', 1));
    const committing = open.commit();
    await settled();
    expect(sound.count('prepare')).toBe(2);
    await clock.advance(TIMEOUT_MS);
    await Promise.all([committing, first]);
  });

  it('is another one when it is registered again', async () => {
    const { run, clock, participants, sound, first } = await doubted();
    participants.unregister('silent');
    participants.register(new ScriptedParticipant({ prepare: 'hang' }), { name: 'silent' });
    const next = run();
    expect(sound.count('prepare')).toBe(2);
    await clock.advance(TIMEOUT_MS);
    await Promise.all([next, first]);
  });
});

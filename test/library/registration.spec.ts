import { describe, expect, it } from 'vitest';
import { ParticipantRegistry, TransactionManager, branch } from '../../src/coordinator/index.js';
import { ManualClock, ScriptedParticipant, recoverNow } from '../../src/coordinator/testing/index.js';
import { startWith } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';
import { Alpha } from './support/participants.js';

describe('participants that come and go at run time', () => {
  it('a participant registered later takes part, with options of its own', async () => {
    const application = await startWith([Alpha]);
    const registry = application.get(ParticipantRegistry);
    const late = new ScriptedParticipant();

    registry.register(late, { name: 'late', maxAttempts: 2 });

    const outcome = await application
      .get(TransactionManager)
      .run({ branches: [branch(Alpha, 1), branch('late', 2)] });
    expect(outcome.status).toBe('committed');
    expect(late.effectOn(outcome.transactionId, 'late')).toBe('committed');
    expect(registry.get('late').options.maxAttempts).toBe(2);
  });

  it('is refused under a name that is taken, or without a method, and changes nothing', async () => {
    const registry = (await startWith([Alpha])).get(ParticipantRegistry);

    expect(() => registry.register(new ScriptedParticipant(), { name: 'alpha' })).toThrow(
      expect.objectContaining({ code: 'DTC_DUPLICATE_PARTICIPANT' }),
    );
    expect(() => registry.register({} as ScriptedParticipant, { name: 'empty' })).toThrow(
      expect.objectContaining({ code: 'DTC_INVALID_PARTICIPANT' }),
    );
    expect(registry.list().map(({ name }) => name)).toEqual(['alpha']);
    expect(registry.get('alpha').className).toBe('Alpha');
  });

  it('after its removal it is unknown, by name and by class, and its name is free again', async () => {
    const application = await startWith([Alpha]);
    const registry = application.get(ParticipantRegistry);
    const transactions = application.get(TransactionManager);

    expect(registry.unregister('alpha')).toBe(true);
    expect(registry.unregister('alpha')).toBe(false);

    for (const reference of [branch(Alpha, 1), branch('alpha', 1)]) {
      await expect(transactions.run({ branches: [reference] })).rejects.toMatchObject({
        code: 'DTC_UNKNOWN_PARTICIPANT',
        message: expect.stringContaining('(registered: none)') as string,
      });
    }
    registry.register(new ScriptedParticipant(), { name: 'alpha' });
    await expect(transactions.run({ branches: [branch('alpha', 1)] })).resolves.toMatchObject({
      status: 'committed',
    });
  });

  it('fault 6: a participant removed while a branch of it is in doubt still gets the decision', async () => {
    const application = await startWith([Alpha], { clock: new ManualClock(), maxAttempts: 1 });
    const registry = application.get(ParticipantRegistry);
    const transactions = application.get(TransactionManager);
    const leaving = ScriptedParticipant.flaky(1);
    registry.register(leaving, { name: 'leaving' });
    const outcome = await transactions.run({ branches: [branch(Alpha, 1), branch('leaving', 2)] });
    expect(outcome).toMatchObject({ status: 'pending', decision: 'commit' });

    registry.unregister('leaving');
    await recoverNow(application);

    expect(leaving.effectOn(outcome.transactionId, 'leaving')).toBe('committed');
    expect(transactions.find(outcome.transactionId)?.state).toBe('COMMITTED');
  });

  it('a class shared by two is no name for either, until one of them is gone', async () => {
    class Shard extends ScriptedParticipant {}
    const registry = (await startWith([])).get(ParticipantRegistry);
    const [first, second] = [new Shard(), new Shard()];
    registry.register(first, { name: 'shard-1' });
    expect(registry.get(Shard).instance).toBe(first);
    registry.register(second, { name: 'shard-2' });

    expect(() => registry.get(Shard)).toThrow('registered as shard-1 and shard-2: use the name');
    expect(registry.get('shard-2').instance).toBe(second);

    registry.unregister('shard-1');
    expect(registry.get(Shard).instance).toBe(second);
  });

  it('each coming and going is one line in the log', async () => {
    const log = new LogRecorder();
    const registry = (await startWith([], {}, log)).get(ParticipantRegistry);

    registry.register(new ScriptedParticipant(), { name: 'guest' });
    registry.unregister('guest');

    expect(log.of('ParticipantRegistry', 'log').map(({ message }) => message)).toEqual([
      expect.stringMatching(/^Participant "guest" \(ScriptedParticipant\): prepare within /),
      'Participant "guest" (ScriptedParticipant) was removed',
    ]);
  });
});

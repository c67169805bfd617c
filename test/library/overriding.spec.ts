import { Test } from '@nestjs/testing';
import { describe, expect, it } from 'vitest';
import {
  CoordinatorModule,
  Participant,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { initialise } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';
import { Alpha, Beta, Willing } from './support/participants.js';

function shop(): ReturnType<typeof Test.createTestingModule> {
  return Test.createTestingModule({
    imports: [CoordinatorModule.forRoot()],
    providers: [Alpha, Beta],
  }).setLogger(new LogRecorder());
}

describe('a participant overridden in a test', () => {
  it('with useValue is registered under its name, and branches still name it by its class', async () => {
    const refusing = new ScriptedParticipant({ prepare: { refuse: 'SOLD_OUT', reason: 'none left' } });
    const application = await initialise(await shop().overrideProvider(Alpha).useValue(refusing).compile());

    const outcome = await application
      .get(TransactionManager)
      .run({ branches: [branch(Alpha, 1), branch(Beta, 2)] });

    expect(outcome).toMatchObject({ status: 'aborted', participant: 'alpha', code: 'SOLD_OUT' });
    expect(refusing.count('prepare')).toBe(1);
  });

  it('with useClass and with useFactory as well, by its own options', async () => {
    class Double extends Willing {}
    const application = await initialise(
      await shop()
        .overrideProvider(Alpha)
        .useClass(Double)
        .overrideProvider(Beta)
        .useFactory({ factory: () => new ScriptedParticipant() })
        .compile(),
    );

    const registry = application.get(ParticipantRegistry);
    expect(registry.get(Alpha)).toMatchObject({ name: 'alpha', className: 'Double' });
    expect(registry.get(Beta)).toMatchObject({ name: 'beta', className: 'ScriptedParticipant' });
  });

  it('several by one class: no branch can name one of them by the class that they share', async () => {
    const application = await initialise(
      await shop()
        .overrideProvider(Alpha)
        .useValue(new ScriptedParticipant())
        .overrideProvider(Beta)
        .useValue(new ScriptedParticipant())
        .compile(),
    );

    const transactions = application.get(TransactionManager);
    await expect(transactions.run({ branches: [branch(Alpha, 1), branch(Beta, 2)] })).resolves.toMatchObject({
      status: 'committed',
    });
    await expect(transactions.run({ branches: [branch(ScriptedParticipant, 1)] })).rejects.toMatchObject({
      code: 'DTC_INVALID_REQUEST',
      message:
        'participant is the class ScriptedParticipant, which is registered as alpha and beta: use the name.',
    });
  });

  it('by a class that is decorated itself: the options of the override count', async () => {
    @Participant({ name: 'alpha', prepareTimeoutMs: 77 })
    class SlowAlpha extends Willing {}

    const application = await initialise(await shop().overrideProvider(Alpha).useClass(SlowAlpha).compile());

    expect(application.get(ParticipantRegistry).get(Alpha).options.prepareTimeoutMs).toBe(77);
  });
});

import { Injectable, Module } from '@nestjs/common';
import { describe, expect, it } from 'vitest';
import {
  type CommitDecision,
  CoordinatorModule,
  CoordinatorStatus,
  type CoordinatorModuleOptions,
  MemoryDecisionLog,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { ManualClock, recoverNow, settled } from '../../src/coordinator/testing/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { start, startWith } from './support/applications.js';
import { Alpha } from './support/participants.js';

describe('CoordinatorModule', () => {
  it('works without any option', async () => {
    const application = await start({ imports: [CoordinatorModule.forRoot()], providers: [Alpha] });

    const outcome = await application.get(TransactionManager).run({ branches: [branch(Alpha, null)] });

    expect(outcome).toEqual({ status: 'committed', transactionId: outcome.transactionId });
    expect(outcome.transactionId).toMatch(/^coordinator\./);
  });

  it('gives a participant the options of forRoot, unless the participant has its own', async () => {
    const application = await startWith([Alpha], { name: 'shop', prepareTimeoutMs: 123, maxInFlight: 7 });

    expect(application.get(ParticipantRegistry).get('alpha').options.prepareTimeoutMs).toBe(123);
    expect(application.get(CoordinatorStatus).condition().maxInFlight).toBe(7);
    const { transactionId } = await application.get(TransactionManager).run({ branches: [] });
    expect(transactionId).toMatch(/^shop\./);
  });

  it('takes its options from a factory with forRootAsync, which may wait and inject', async () => {
    @Injectable()
    class Settings {
      readonly name = 'from-settings';
    }

    @Module({ providers: [Settings], exports: [Settings] })
    class SettingsModule {}

    const coordinator = CoordinatorModule.forRootAsync({
      imports: [SettingsModule],
      inject: [Settings],
      useFactory: async ({ name }: Settings): Promise<CoordinatorModuleOptions> => Promise.resolve({ name }),
    });
    const application = await start({ imports: [coordinator], providers: [Alpha] });

    const { transactionId } = await application.get(TransactionManager).run({ branches: [] });
    expect(transactionId).toMatch(/^from-settings\./);
  });

  it('is global: a module that does not import it can inject the manager', async () => {
    @Injectable()
    class Checkout {
      constructor(readonly transactions: TransactionManager) {}
    }

    @Module({ providers: [Checkout, Alpha] })
    class Feature {}

    const application = await start({ imports: [CoordinatorModule.forRoot(), Feature] });

    const { transactions } = application.get(Checkout, { strict: false });
    await expect(transactions.run({ branches: [branch(Alpha, 1)] })).resolves.toMatchObject({
      status: 'committed',
    });
  });

  it('uses the clock, the decision log and the random numbers it is given', async () => {
    class ListingLog extends MemoryDecisionLog {
      readonly names: string[] = [];
      override append(decision?: CommitDecision): void {
        this.names.push(decision?.toRecord().name ?? '');
      }
    }
    const log = new ListingLog();
    const clock = new ManualClock();
    let draws = 0;
    const random = (): number => (draws++, 0.5);
    const application = await startWith([], { clock, log, random, maxAttempts: 2, retryBaseMs: 100 });
    const failing = ScriptedParticipant.flaky(1);
    application.get(ParticipantRegistry).register(failing, { name: 'failing' });

    const running = application
      .get(TransactionManager)
      .run({ name: 'sale', branches: [branch('failing', 1)] });
    // The first attempt fails at once; its pause is half of 100 ms.
    await settled();
    await clock.advance(40);
    expect(failing.count('commit')).toBe(1);
    await clock.advance(10);

    await expect(running).resolves.toMatchObject({ status: 'committed' });
    expect(failing.count('commit')).toBe(2);
    expect(log.names).toEqual(['sale']);
    expect(draws).toBe(1);
  });

  it('runs the recovery job when a test asks for it', async () => {
    const application = await startWith([], { clock: new ManualClock(), maxAttempts: 1 });
    const failing = ScriptedParticipant.flaky(1);
    application.get(ParticipantRegistry).register(failing, { name: 'failing' });
    const transactions = application.get(TransactionManager);
    const outcome = await transactions.run({ branches: [branch('failing', 1)] });
    expect(outcome).toMatchObject({ status: 'pending', decision: 'commit' });

    await recoverNow(application);

    expect(transactions.find(outcome.transactionId)).toMatchObject({ state: 'COMMITTED', stalled: false });
  });
});

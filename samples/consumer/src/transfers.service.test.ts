import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Test } from '@nestjs/testing';
import { CoordinatorModule, TransactionManager, branch } from 'nestjs-dtc';
import { ManualClock, ScriptedParticipant, createTestCoordinator, recoverNow } from 'nestjs-dtc/testing';
import { NorthBank, SouthBank } from './banks.js';
import { TransfersService } from './transfers.service.js';

void test('gives the money held at one bank back when the other does not answer in time', async () => {
  const north = new NorthBank();
  const south = new ScriptedParticipant({ prepare: 'hang' });
  const { transactions, clock } = createTestCoordinator({ participants: { north, south } });

  const sending = transactions.run({
    branches: [branch(NorthBank, { account: 'ada', amount: 30_00 }), branch('south', null)],
  });
  await clock.advance(1_990);
  assert.equal(north.vault.balanceOf('ada'), 70_00);
  await clock.advance(10);

  const outcome = await sending;
  assert.equal(outcome.status, 'aborted');
  assert.equal(north.vault.balanceOf('ada'), 100_00);
});

void test('two branches of one bank in one transaction are both paid in', async () => {
  const south = new SouthBank();
  const { transactions } = createTestCoordinator({ participants: { north: new NorthBank(), south } });

  const { status } = await transactions.run({
    branches: [
      branch(NorthBank, { account: 'ada', amount: 10_00 }),
      branch(SouthBank, { account: 'bob', amount: -4_00 }),
      branch(SouthBank, { account: 'bob', amount: -6_00 }),
    ],
  });

  assert.equal(status, 'committed');
  assert.equal(south.vault.balanceOf('bob'), 10_00);
});

void test('a bank that cannot commit for now gets its money when it has recovered', async () => {
  const south = ScriptedParticipant.flaky(1);
  const module = await Test.createTestingModule({
    imports: [CoordinatorModule.forRoot({ clock: new ManualClock(), maxAttempts: 1 })],
    providers: [NorthBank, SouthBank, TransfersService],
  })
    .overrideProvider(SouthBank)
    .useValue(south)
    .compile();
  await module.init();

  const outcome = await module.get(TransfersService).send(30_00);
  assert.equal(outcome.status, 'pending');
  await recoverNow(module);

  assert.equal(module.get(TransactionManager).find(outcome.transactionId)?.state, 'COMMITTED');
  assert.equal(south.effectOn(outcome.transactionId, 'south'), 'committed');
  await module.close();
});

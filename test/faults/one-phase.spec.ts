import { expect, it } from 'vitest';
import { type TransactionParticipant, branch } from '../../src/coordinator/index.js';
import { createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';

it('fault 19: garbage from an abandoned one-phase attempt does not count against the attempt in flight', async () => {
  const answers: ((answer: unknown) => void)[] = [];
  const participant: TransactionParticipant = {
    prepare: () => 'commit',
    commit() {},
    rollback() {},
    commitOnePhase: () => new Promise((resolve) => answers.push(resolve as (answer: unknown) => void)),
  };
  const { transactions, clock } = createTestCoordinator({
    participants: { only: participant },
    prepareTimeoutMs: 100,
    maxAttempts: 2,
    retryBaseMs: 10,
  });
  const outcome = transactions.run({ branches: [branch('only', undefined)] });
  await clock.advance(120);
  expect(answers).toHaveLength(2);

  answers[0]!('garbage');
  await settled();
  expect(transactions.list()[0]).toMatchObject({ state: 'READY', stalled: false });

  answers[1]!('commit');
  expect(await outcome).toMatchObject({ status: 'committed' });
});

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Outcome, branch } from '../../src/coordinator/index.js';
import {
  type ParticipantScript,
  ScriptedParticipant,
  type TestCoordinator,
  createTestCoordinator,
} from '../../src/coordinator/testing/index.js';
import { CardPaymentParticipant } from './card-payment.participant.js';
import { CardProvider, type Failure } from './card-provider.js';

const PAYMENT = { card: 'tok_1', amount: 500 };

let provider: CardProvider;
let coordinator: TestCoordinator;
let stock: ScriptedParticipant;

beforeEach(async () => {
  provider = new CardProvider();
  const address = await provider.open();
  stock = new ScriptedParticipant();
  coordinator = createTestCoordinator({
    participants: { 'card-payment': new CardPaymentParticipant(address), stock },
    timeoutMs: 60_000,
    prepareTimeoutMs: 5_000,
    completionTimeoutMs: 1_000,
    completionWaitMs: 60_000,
    maxAttempts: 100,
  });
});

afterEach(() => provider.close());

function pay(payment = PAYMENT): Promise<Outcome> {
  return coordinator.transactions.run({ branches: [branch('card-payment', payment), branch('stock', 1)] });
}

function fail(path: string, ...failures: Failure[]): void {
  provider.failures.push(...failures.map((failure) => ({ path, failure })));
}

/** Moves the clock, which the provider does not follow, until there is an answer and nothing is left to do. */
async function ending(paying: Promise<Outcome>): Promise<Outcome> {
  const { clock, runtime } = coordinator;
  let outcome: Outcome | undefined;
  void paying.then((told) => (outcome = told));
  const isOpen = () => runtime.registry.inFlight > 0 || outcome === undefined;
  for (let turn = 0; turn < 2_000 && isOpen(); turn++) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    await clock.advance(20);
  }
  return outcome!;
}

function states(): string[] {
  return Array.from(provider.authorisations.values(), ({ state }) => state);
}

describe('CardPaymentParticipant', () => {
  it('authorises, and captures once, when every participant agrees', async () => {
    expect(await pay()).toMatchObject({ status: 'committed' });
    expect(provider.done).toEqual({ authorise: 1, capture: 1, void: 0 });
  });

  it.each<Failure>(['unavailable', 'answer-lost', 'no-answer'])(
    'captures once although captures fail: %s',
    async (failure) => {
      fail('/capture', failure, failure);
      expect(await ending(pay())).toMatchObject({ status: 'committed' });
      expect(provider.done).toEqual({ authorise: 1, capture: 1, void: 0 });
      expect(states()).toEqual(['captured']);
    },
  );

  it('refuses when the card is declined, and holds nothing', async () => {
    expect(await pay({ ...PAYMENT, amount: 5_000 })).toMatchObject({
      status: 'aborted',
      participant: 'card-payment',
      code: 'CARD_DECLINED',
    });
    expect(states()).toEqual([]);
  });

  it.each<Failure>(['unavailable', 'answer-lost', 'no-answer'])(
    'voids the authorisation when another participant refuses, although voids fail: %s',
    async (failure) => {
      const gate = Promise.withResolvers<void>();
      stock.script = { prepare: { until: gate.promise, then: 'no' } };
      fail('/void', failure);
      const paying = pay();
      await expect.poll(() => states()).toEqual(['authorised']);
      gate.resolve();
      expect(await ending(paying)).toMatchObject({ status: 'aborted', participant: 'stock' });
      expect(states()).toEqual(['voided']);
      expect(provider.done).toEqual({ authorise: 1, capture: 0, void: 1 });
    },
  );

  it.each<Failure>(['answer-lost', 'no-answer'])(
    'voids an authorisation of which it never heard: %s',
    async (failure) => {
      fail('/authorise', failure);
      expect(await ending(pay())).toMatchObject({ status: 'aborted', participant: 'card-payment' });
      await expect.poll(() => states()).toEqual(['voided']);
      expect(provider.done.capture).toBe(0);
    },
  );

  it('reports a heuristic rollback when the authorisation lapses after the decision', async () => {
    fail('/capture', 'unavailable');
    const paying = pay();
    await expect.poll(() => provider.failures.length).toBe(0);
    provider.lapse();
    const outcome = await ending(paying);
    expect(outcome).toMatchObject({
      status: 'heuristic',
      decision: 'commit',
      reports: [
        {
          participant: 'card-payment',
          kind: 'rollback',
          reason: 'it cannot be captured any more: it is lapsed',
        },
      ],
    });
    expect(provider.done.capture).toBe(0);
  });

  it('aborts, and voids, when the authorisation expires before the others have voted', async () => {
    provider.validForMs = 3_000;
    const slow: ParticipantScript = { prepare: 'hang' };
    stock.script = slow;
    const paying = pay();
    await expect.poll(() => states()).toEqual(['authorised']);
    expect(await ending(paying)).toMatchObject({
      status: 'aborted',
      cause: 'expired',
      code: 'VOTE_EXPIRED',
      participant: 'card-payment',
    });
    expect(states()).toEqual(['voided']);
  });
});

import { beforeEach, describe, expect, it } from 'vitest';
import { branch } from '../../src/coordinator/index.js';
import {
  ScriptedParticipant,
  type TestCoordinator,
  createTestCoordinator,
} from '../../src/coordinator/testing/index.js';
import { Customs } from './customs.js';
import { DispatchPlan } from './dispatch-plan.js';
import { ShippingParticipant } from './shipping.participant.js';

const PARCEL = { orderId: 'o-1', country: 'FR' };

let plan: DispatchPlan;
let customs: Customs;
let other: ScriptedParticipant;
let coordinator: TestCoordinator;

beforeEach(() => {
  plan = new DispatchPlan();
  customs = new Customs();
  other = new ScriptedParticipant();
  coordinator = createTestCoordinator({
    participants: { shipping: new ShippingParticipant(customs, plan), other },
  });
});

function send(): Promise<unknown> {
  return coordinator.transactions.run({
    branches: [branch(ShippingParticipant, PARCEL), branch('other', null)],
  });
}

describe('ShippingParticipant', () => {
  it('books a place when every participant agrees', async () => {
    await expect(send()).resolves.toMatchObject({ status: 'committed' });

    expect(plan.find('o-1')).toEqual(PARCEL);
    expect(plan.placesTo('FR')).toBe(0);
  });

  it('gives its place back when another participant refuses', async () => {
    other.script = { prepare: { refuse: 'NO_FUNDS' } };

    await expect(send()).resolves.toMatchObject({ status: 'aborted', code: 'NO_FUNDS' });
    await coordinator.clock.advance(10);

    expect(plan.find('o-1')).toBeUndefined();
    expect(plan.placesTo('FR')).toBe(1);
  });

  it('refuses when the vans are full, and where no parcel may go', async () => {
    plan.hold('another order', { orderId: 'o-0', country: 'FR' });
    await expect(send()).resolves.toMatchObject({ status: 'aborted', code: 'VANS_FULL' });

    const branches = [branch(ShippingParticipant, { orderId: 'o-2', country: 'XX' }), branch('other', null)];
    await expect(coordinator.transactions.run({ branches })).resolves.toMatchObject({
      participant: 'shipping',
      code: 'NOT_ALLOWED',
    });
  });

  it('holds nothing when customs do not answer in time', async () => {
    let given: AbortSignal | undefined;
    customs.allows = (_country, signal) => {
      given = signal;
      return new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    };

    const outcome = send();
    await coordinator.clock.advance(2_000);

    await expect(outcome).resolves.toMatchObject({ cause: 'timed-out', participant: 'shipping' });
    expect(given?.aborted).toBe(true);
    expect(plan.placesTo('FR')).toBe(1);
  });

  it('books once when the commit is delivered twice', async () => {
    const shipping = coordinator.participants.get('shipping').instance;
    await send();
    const call = other.calls.find(({ method }) => method === 'commit')!;

    await shipping.commit({ ...call.branch, branchId: 'shipping', payload: PARCEL });

    expect(plan.find('o-1')).toEqual(PARCEL);
    expect(plan.placesTo('FR')).toBe(0);
  });

  it('reports when its place was given away after its vote', async () => {
    other.script = { prepare: { until: givenAway() } };

    await expect(send()).resolves.toMatchObject({
      status: 'heuristic',
      reports: [
        { participant: 'shipping', kind: 'rollback', reason: 'the place was given away in the yard' },
      ],
    });
  });

  it('alone in its transaction it commits in one phase', async () => {
    const run = (): Promise<unknown> =>
      coordinator.transactions.run({ branches: [branch(ShippingParticipant, PARCEL)] });

    await expect(run()).resolves.toMatchObject({ status: 'committed' });
    expect(plan.find('o-1')).toEqual(PARCEL);
    await expect(run()).resolves.toMatchObject({ status: 'aborted', code: 'VANS_FULL' });
  });
});

/** Waits until a place is held, and gives it away. */
async function givenAway(): Promise<void> {
  while (plan.placesTo('FR') === 1) await new Promise((resolve) => setImmediate(resolve));
  plan.clear('FR');
}

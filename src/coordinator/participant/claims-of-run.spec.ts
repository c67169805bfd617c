import { describe, expect, it, vi } from 'vitest';
import { LOG_ID, runOf } from '../../../test/support/identity.js';
import { resolveCoordinatorOptions } from '../coordinator.options.js';
import { DurableLogNeededError, ParticipantNotClaimedError } from '../errors.js';
import { branch } from './branch-request.js';
import { ParticipantRegistry } from './participant.registry.js';
import type { CoordinatorRun, IsOwnRun } from './participant.js';
import { ScriptedParticipant, createTestCoordinator } from '../testing/index.js';
import { ClaimsOfRun } from './claims-of-run.js';

const isOwnRun: IsOwnRun = () => Promise.resolve(true);
const REQUEST = { branches: [branch('stock', 1)] };

/** A participant that accepts a run or refuses it. */
class Claimed extends ScriptedParticipant {
  readonly runs: CoordinatorRun[] = [];
  refusal: Error | undefined;
  listed = 0;

  async claim(run: CoordinatorRun, isOwn: IsOwnRun): Promise<void> {
    this.runs.push(run);
    if (!(await isOwn(run.epoch, run.token))) throw new Error('a stranger');
    if (this.refusal !== undefined) throw this.refusal;
  }

  recover(): Promise<never[]> {
    this.listed++;
    return Promise.resolve([]);
  }
}

/** A coordinator that claims its participants, as in an application. */
function claiming(stock: object, allowMemoryLog = true) {
  const coordinator = createTestCoordinator({ participants: { stock: stock as ScriptedParticipant } });
  const { participants, runtime } = coordinator;
  participants.claimWith(new ClaimsOfRun(runtime.log.run, runtime.log.isOwnRun, allowMemoryLog));
  return coordinator;
}

describe('A participant that wants to be claimed', () => {
  it('is claimed once, before its first branch and before its branches are listed', async () => {
    const stock = new Claimed();
    const { participants, transactions, runtime, recover } = claiming(stock);
    await expect(transactions.run(REQUEST)).rejects.toThrow(ParticipantNotClaimedError);
    await recover();
    expect([stock.calls.length, stock.listed]).toEqual([0, 0]);

    await participants.claimAll();
    await participants.claimAgain();
    expect(stock.runs).toEqual([runtime.log.run]);
    await recover();
    expect(stock.listed).toBe(1);
    await expect(transactions.run(REQUEST)).resolves.toMatchObject({ status: 'committed' });
  });

  it('stops the start with its own error when it refuses the run', async () => {
    const stock = new Claimed();
    stock.refusal = new Error('the log was copied');
    const { participants, transactions } = claiming(stock);

    await expect(participants.claimAll()).rejects.toBe(stock.refusal);
    await expect(transactions.run(REQUEST)).rejects.toThrow(ParticipantNotClaimedError);
  });

  it('that is registered later is claimed until it accepts the run, and delays no other participant', async () => {
    const { participants, transactions } = claiming(new ScriptedParticipant());
    await participants.claimAll();
    const late = new Claimed();
    late.refusal = new Error('not yet');
    participants.register(late, { name: 'late' });
    await vi.waitUntil(() => late.runs.length === 1);

    await expect(transactions.run({ branches: [branch('late', 1)] })).rejects.toMatchObject({
      code: 'DTC_PARTICIPANT_NOT_CLAIMED',
    });
    await expect(transactions.run(REQUEST)).resolves.toMatchObject({ status: 'committed' });
    late.refusal = undefined;
    await participants.claimAgain();
    await expect(transactions.run({ branches: [branch('late', 1)] })).resolves.toMatchObject({
      status: 'committed',
    });
  });

  it('may be claimed before the others, and is still claimed only once', async () => {
    const stock = new Claimed();
    const { participants } = claiming(stock);
    await Promise.all([participants.claim(stock), participants.claim(stock)]);
    await participants.claimAll();

    expect(stock.runs).toHaveLength(1);
  });

  it('receives the run with each call', async () => {
    const stock = new Claimed();
    const { participants, transactions, runtime } = claiming(stock);
    await participants.claimAll();
    await transactions.run({ branches: [branch('stock', 1), branch('stock', 2)] });

    for (const call of stock.calls) expect(call.branch.run).toBe(runtime.log.run);
    expect(runtime.log.run).toMatchObject({ name: 'coordinator', epoch: 1, durable: false });
  });
});

describe('A log that forgets its decisions', () => {
  const volatileRun = runOf({ durable: false });

  function claimsWith(participant: object, run = volatileRun, allowMemoryLog = false): Promise<void> {
    const participants = new ParticipantRegistry(resolveCoordinatorOptions());
    participants.register(participant as ScriptedParticipant, { name: 'stock' });
    participants.claimWith(new ClaimsOfRun(run, isOwnRun, allowMemoryLog));
    return participants.claimAll();
  }

  class Listing extends ScriptedParticipant {
    constructor(readonly preparesDurably?: boolean) {
      super();
    }

    recover(): Promise<never[]> {
      return Promise.resolve([]);
    }
  }

  it('is refused with a participant that lists prepared branches', async () => {
    await expect(claimsWith(new Listing())).rejects.toThrow(DurableLogNeededError);
    await expect(claimsWith(new Listing())).rejects.toMatchObject({
      code: 'DTC_DURABLE_LOG_NEEDED',
      participant: 'stock',
    });
  });

  it('is refused with a participant that declares that its branches outlive the process', async () => {
    const saysSo = Object.assign(new ScriptedParticipant(), { preparesDurably: true });
    await expect(claimsWith(saysSo)).rejects.toThrow(DurableLogNeededError);
  });

  it.each([
    ['a participant that keeps nothing', () => claimsWith(new ScriptedParticipant())],
    ['one whose list ends with the process', () => claimsWith(new Listing(false))],
    ['a participant, by explicit consent', () => claimsWith(new Listing(), volatileRun, true)],
  ])('is taken with %s', async (_, claims) => {
    await expect(claims()).resolves.toBeUndefined();
  });

  it('is accepted when the log is durable', async () => {
    await expect(claimsWith(new Listing(), runOf({ logId: LOG_ID }))).resolves.toBeUndefined();
  });

  it('starts no branch of such a participant when it is registered later', async () => {
    const { participants, transactions } = claiming(new ScriptedParticipant(), false);
    await participants.claimAll();
    participants.register(new Listing(), { name: 'late' });

    await expect(transactions.run({ branches: [branch('late', 1)] })).rejects.toThrow(
      ParticipantNotClaimedError,
    );
  });
});

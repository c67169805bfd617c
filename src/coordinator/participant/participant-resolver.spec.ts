import { describe, expect, it } from 'vitest';
import { DECIDER, claimOf, idOf } from '../../../test/support/identity.js';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import { resolveCoordinatorOptions } from '../coordinator.options.js';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { CommitDecision, CommitRecord, LogClaim } from '../log/decision-log.js';
import { Recovery } from '../recovery/recovery.js';
import { ScriptedParticipant, createTestCoordinator } from '../testing/index.js';
import { TransactionManager } from '../transaction-manager.js';
import { branch } from './branch-request.js';
import type { ParticipantReference } from './branch-request.js';
import { resolveParticipantOptions } from './participant.options.js';
import { ParticipantRegistry } from './participant.registry.js';
import type { ParticipantResolver } from './participant-resolver.js';
import { RegisteredParticipant } from './registered-participant.js';

const OPTIONS = resolveCoordinatorOptions({});

/** Hosts in other processes. Each serves any participant at its own address. */
class FakeHosts implements ParticipantResolver {
  readonly asked: [name: string, address: string | undefined][] = [];
  private readonly reached = new Map<string, RegisteredParticipant>();

  constructor(
    private readonly local: ParticipantRegistry,
    private readonly hosts: Readonly<Record<string, ScriptedParticipant>>,
    /** The current address of each remote participant. */
    private readonly addresses: Readonly<Record<string, string>>,
  ) {}

  resolve(reference: ParticipantReference): RegisteredParticipant {
    const address = typeof reference === 'string' ? this.addresses[reference] : undefined;
    return address === undefined ? this.local.resolve(reference) : this.reach(String(reference), address);
  }

  await(name: string, address?: string): RegisteredParticipant {
    this.asked.push([name, address]);
    return address === undefined ? this.local.await(name) : this.reach(name, address);
  }

  private reach(name: string, address: string): RegisteredParticipant {
    const key = `${name} ${address}`;
    const known = this.reached.get(key);
    if (known !== undefined) return known;
    const options = resolveParticipantOptions({ name }, name, OPTIONS);
    const remote = new RegisteredParticipant(this.hosts[address]!, 'RemoteParticipant', options, [], address);
    this.reached.set(key, remote);
    return remote;
  }
}

/** A log that keeps the records it receives. */
class KeepingLog extends ScriptedLog {
  readonly kept: CommitRecord[] = [];

  override append(decision: CommitDecision): void {
    this.kept.push(decision.toRecord());
  }

  override progress(decision?: CommitDecision): void {
    this.kept.push(decision!.toRecord());
  }
}

/** A coordinator with `stock` in its own process, and `shipping` at the second of two hosts. */
function setUp(claim: Partial<LogClaim> = {}) {
  const [stock, first, second] = [1, 2, 3].map(() => new ScriptedParticipant()) as [
    ScriptedParticipant,
    ScriptedParticipant,
    ScriptedParticipant,
  ];
  const { participants, runtime: made } = createTestCoordinator({ participants: { stock } });
  const hosts = { 'http://first': first, 'http://second': second };
  const resolver = new FakeHosts(participants, hosts, { shipping: 'http://second' });
  const log = new KeepingLog();
  const runtime = new CoordinatorRuntime({ ...made.parts, log, resolver, claim: claimOf(claim) });
  const recovery = new Recovery(runtime);
  const transactions = new TransactionManager(runtime);
  return { stock, first, second, resolver, log, runtime, recovery, transactions, participants };
}

function recordOf(...branches: { participant: string; address?: string }[]): CommitRecord {
  const id = idOf('coordinator', 1, 1);
  return {
    id,
    name: 'sale',
    decider: DECIDER,
    branches: branches.map((one) =>
      Object.assign(one, { branchId: one.participant, payload: 1, completed: false }),
    ),
  };
}

describe('A resolver that reaches participants by their addresses', () => {
  it('serves new branches, and the record holds the address of each remote participant', async () => {
    const { transactions, stock, second, log } = setUp();
    const outcome = await transactions.run({ branches: [branch('stock', 1), branch('shipping', 2)] });

    expect(outcome).toMatchObject({ status: 'committed' });
    expect([stock.count('commit'), second.count('commit')]).toEqual([1, 1]);
    expect(log.kept[0]!.branches).toEqual([
      { branchId: 'stock', participant: 'stock', payload: 1, completed: false },
      {
        branchId: 'shipping',
        participant: 'shipping',
        address: 'http://second',
        payload: 2,
        completed: false,
      },
    ]);
    expect(log.kept[0]!.branches[0]).not.toHaveProperty('address');
  });

  it('gets the address from the record at restoration, and the commit goes there', async () => {
    const record = recordOf({ participant: 'stock' }, { participant: 'shipping', address: 'http://first' });
    const { recovery, resolver, stock, first, second, runtime } = setUp({ epoch: 2, decisions: [record] });
    const { decisions, missing } = recovery.restore();
    expect([decisions, ...missing]).toEqual([1]);
    expect(resolver.asked).toEqual([
      ['stock', undefined],
      ['shipping', 'http://first'],
    ]);

    await recovery.pass();
    expect([stock, first, second].map((one) => one.count('commit'))).toEqual([1, 1, 0]);
    expect(runtime.registry.find(record.id)).toMatchObject({ stateName: 'COMMITTED' });
  });
});

describe('The registry of the process as a resolver', () => {
  it('delivers a decision to the registered participant, whatever address the record holds', async () => {
    const record = recordOf({ participant: 'stock', address: 'http://first' });
    const stock = new ScriptedParticipant();
    const { recover, transactions } = createTestCoordinator({
      participants: { stock },
      log: new ScriptedLog({ claim: claimOf({ epoch: 2, decisions: [record] }) }),
    });
    await recover();

    expect(stock.count('commit')).toBe(1);
    expect(transactions.find(record.id)).toMatchObject({ state: 'COMMITTED' });
  });

  it('keeps the latest address of an unregistered participant in each further record', () => {
    const { participants, runtime } = createTestCoordinator({
      participants: { stock: new ScriptedParticipant() },
      log: new ScriptedLog({
        claim: claimOf({
          epoch: 2,
          decisions: [
            recordOf({ participant: 'stock' }, { participant: 'shipping', address: 'http://first' }),
          ],
        }),
      }),
    });
    const again = () =>
      runtime.registry
        .find(idOf('coordinator', 1, 1))!
        .toRecord()
        .branches.map(({ address }) => address);
    expect(again()).toEqual([undefined, 'http://first']);

    participants.await('shipping');
    expect(again()).toEqual([undefined, 'http://first']);
    participants.await('shipping', 'http://second');
    expect(again()).toEqual([undefined, 'http://second']);
    participants.register(new ScriptedParticipant(), { name: 'shipping' });
    expect(again()).toEqual([undefined, undefined]);
  });
});

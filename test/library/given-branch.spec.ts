import { inspect } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Branch, type TransactionParticipant, type Vote, branch } from '../../src/coordinator/index.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';

const FIELDS = ['transactionId', 'branchId', 'payload', 'deadline', 'signal', 'attempt', 'run'];

/** A branch, and what it showed during the call. */
interface Seen {
  readonly given: Branch;
  readonly payload: unknown;
  readonly json: unknown;
}

/** Keeps what each of its methods was given. */
class Curious implements TransactionParticipant {
  readonly seen = new Map<string, Seen>();

  prepare(given: Branch): Vote {
    this.keep('prepare', given);
    return 'commit';
  }

  commit(given: Branch): void {
    this.keep('commit', given);
  }

  rollback(given: Branch): void {
    this.keep('rollback', given);
  }

  private keep(method: string, given: Branch): void {
    this.seen.set(method, { given, payload: given.payload, json: JSON.parse(JSON.stringify(given)) });
  }
}

let curious: Curious;
const payload = { sku: 'pen' };

async function run(other: ScriptedParticipant): Promise<string> {
  const { transactions, clock } = createTestCoordinator({ participants: { curious, other } });
  const running = transactions.run({ branches: [branch('curious', payload), branch('other', 1)] });
  await settled();
  await clock.advance(10);
  return (await running).status;
}

describe.each(['prepare', 'commit', 'rollback'])('The branch that %s receives', (method) => {
  let given: Branch;
  let seen: Seen;

  beforeEach(async () => {
    curious = new Curious();
    await run(new ScriptedParticipant(method === 'rollback' ? { prepare: 'no' } : {}));
    seen = curious.seen.get(method)!;
    given = seen.given;
  });

  it('has its fields, and nothing else', () => {
    expect(given.branchId).toBe('curious');
    expect(seen.payload).toBe(payload);
    const names = new Set<string>();
    for (let link: object = given; link !== Object.prototype; link = Object.getPrototypeOf(link) as object) {
      for (const key of Reflect.ownKeys(link)) names.add(typeof key === 'string' ? key : key.description!);
    }
    expect([...names].toSorted()).toEqual(
      [...FIELDS, 'constructor', 'toJSON', 'nodejs.util.inspect.custom'].toSorted(),
    );
  });

  it('gives no access to the objects of the coordinator', () => {
    const visited = new Set<unknown>();
    const waiting: unknown[] = FIELDS.filter((field) => field !== 'payload' && field !== 'signal').map(
      (field) => (given as unknown as Record<string, unknown>)[field],
    );
    for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
      if (typeof value !== 'object' || value === null || visited.has(value)) continue;
      visited.add(value);
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
      for (const key of Reflect.ownKeys(value)) waiting.push(Reflect.get(value, key));
    }
    expect(seen.json).toEqual({
      transactionId: given.transactionId,
      branchId: 'curious',
      payload,
      deadline: expect.any(Number) as number,
      attempt: method === 'prepare' ? 0 : 1,
    });
    expect(inspect(given)).not.toContain('executor');
  });

  it('is an object of its own: spreading, cloning, comparing and logging see its fields', () => {
    const { transactionId, branchId, deadline, attempt, run: by } = given;
    const fields = { transactionId, branchId, payload, deadline, attempt, run: by };
    expect(Object.keys(given)).toEqual([
      'transactionId',
      'branchId',
      'payload',
      'deadline',
      'attempt',
      'run',
    ]);
    expect({ ...given }).toStrictEqual(fields);
    expect(structuredClone(given)).toStrictEqual({ ...fields, payload: { ...payload }, run: { ...by } });
    expect(given).toEqual(fields);
    expect(given).toMatchObject({ branchId: 'curious', attempt });
    expect(inspect(given)).toContain(`branchId: 'curious'`);
    expect(given.signal).toBe(given.signal);
  });

  it('shares nothing with other calls that could be changed', () => {
    expect(Object.isFrozen(given.run)).toBe(true);
    expect(Object.isFrozen(Object.getPrototypeOf(given))).toBe(true);
    expect(Reflect.set(given, 'signal', 'changed')).toBe(false);
  });
});

it('The branch of a call stays as it was when later calls are made', async () => {
  curious = new Curious();
  await run(new ScriptedParticipant());
  const [prepare, commit] = ['prepare', 'commit'].map((method) => curious.seen.get(method)!);
  expect(prepare!.given).not.toBe(commit!.given);
  expect(JSON.parse(JSON.stringify(prepare!.given))).toEqual(prepare!.json);
  expect([prepare!.given.attempt, commit!.given.attempt]).toEqual([0, 1]);
});

it('Changes that a participant makes to its branch reach no later call and no other participant', async () => {
  curious = new Curious();
  const other = new ScriptedParticipant();
  curious.prepare = (given) => {
    Object.assign(given, { payload: 'changed', transactionId: 'other' });
    Object.defineProperty(given, 'branchId', { value: 'other' });
    Object.freeze(given);
    return 'commit';
  };

  expect(await run(other)).toBe('committed');
  expect(curious.seen.get('commit')!.json).toMatchObject({ branchId: 'curious', payload });
  expect(other.calls.map(({ method }) => method)).toEqual(['prepare', 'commit']);
});

it('A branch has the id of the request of its caller in each call, and a caller without one adds no field', async () => {
  curious = new Curious();
  const other = new ScriptedParticipant({ prepare: ['yes', 'no', 'yes'] });
  const { transactions, clock } = createTestCoordinator({ participants: { curious, other } });
  const branches = [branch('curious', payload), branch('other', 1)];
  for (const status of ['committed', 'aborted']) {
    const running = transactions.run({ branches, requestId: 'r-1' });
    await settled();
    await clock.advance(10);
    expect(await running).toMatchObject({ status });
  }
  for (const method of ['prepare', 'commit', 'rollback']) {
    const { given, json } = curious.seen.get(method)!;
    expect(given.requestId).toBe('r-1');
    expect(json).toMatchObject({ requestId: 'r-1' });
    expect({ ...given }).toMatchObject({ requestId: 'r-1' });
    expect(structuredClone(given)).toMatchObject({ requestId: 'r-1' });
  }
  await transactions.run({ branches });
  expect(Object.keys(curious.seen.get('prepare')!.given)).not.toContain('requestId');
});

it('A delivery that is repeated has the id of the request', async () => {
  const stock = new ScriptedParticipant({ commit: ['throw', 'yes'] });
  const seen: unknown[] = [];
  const commit = stock.commit.bind(stock);
  stock.commit = (given) => {
    seen.push(given.requestId);
    return commit(given);
  };
  const { transactions, clock } = createTestCoordinator({
    participants: { stock, other: new ScriptedParticipant() },
  });
  const running = transactions.run({ branches: [branch('stock', 1), branch('other', 1)], requestId: 'r-1' });
  await settled();
  await clock.advance(5_000, 50);
  await running;
  expect(seen).toEqual(['r-1', 'r-1']);
});

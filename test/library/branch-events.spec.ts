import type { TestingModule } from '@nestjs/testing';
import { beforeEach, describe, expect, expectTypeOf, it } from 'vitest';
import {
  type Branch,
  type BranchEnd,
  type BranchStart,
  type CommitRecord,
  CoordinatorStatus,
  MemoryDecisionLog,
  Participant,
  ParticipantRegistry,
  TransactionManager,
  type TransactionParticipant,
  branch,
  branchKey,
} from '../../src/coordinator/index.js';
import {
  ManualClock,
  type ParticipantScript,
  ScriptedParticipant,
  createTestCoordinator,
  recoverNow,
  settled,
} from '../../src/coordinator/testing/index.js';
import { startWith } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';
import { DECIDER } from '../support/identity.js';

interface Seat {
  readonly row: number;
}

@Participant({ name: 'seats' })
class SeatsParticipant implements TransactionParticipant<Seat> {
  readonly open = new Set<string>();

  branchStarted(start: BranchStart<Seat>): void {
    this.open.add(branchKey(start));
  }

  branchEnded(end: BranchEnd): void {
    this.open.delete(branchKey(end));
  }

  prepare({ payload }: Branch<Seat>): 'commit' | 'abort' {
    expect(this.open.size).toBe(1);
    return payload.row > 9 ? 'abort' : 'commit';
  }

  commit(): void {}
  rollback(): void {}
}

/** Remembers what it is told, among what it is called for. */
class Listening extends ScriptedParticipant {
  readonly told: (BranchStart | BranchEnd)[] = [];
  readonly order: string[] = [];

  branchStarted(start: BranchStart): void | Promise<void> {
    this.order.push('started', ...this.calls.map(({ method }) => method));
    this.told.push(start);
  }

  branchEnded(end: BranchEnd): void | Promise<void> {
    this.told.push(end);
  }

  get ends(): BranchEnd[] {
    return this.told.filter((event): event is BranchEnd => 'state' in event);
  }
}

const PAYLOAD = { row: 3 };
/** A transaction that an earlier run has decided to commit. */
const RECORD: CommitRecord = {
  id: 'shop-1-1',
  name: 'sale',
  decider: DECIDER,
  branches: [{ branchId: 'a', participant: 'a', payload: PAYLOAD, completed: false }],
};
/** A log that has its record. */
class Kept extends MemoryDecisionLog {
  override open(name: string) {
    return { ...super.open(name), decisions: [RECORD] };
  }
}

let clock: ManualClock;
let log: LogRecorder;
let application: TestingModule;
let transactions: TransactionManager;

beforeEach(async () => {
  clock = new ManualClock();
  log = new LogRecorder();
  const options = { clock, maxAttempts: 1, maxBranches: 3, random: () => 0.5 };
  application = await startWith([SeatsParticipant], options, log);
  transactions = application.get(TransactionManager);
});

function register<P extends ScriptedParticipant>(participant: P, name: string): P {
  application.get(ParticipantRegistry).register(participant, { name });
  return participant;
}

function listening(script: ParticipantScript = {}, name = 'a'): Listening {
  return register(new Listening(script, clock), name);
}

describe('A participant that wants to hear of its branches', () => {
  it('is notified of the start with the payload before it prepares, and of the end without', async () => {
    const a = listening();

    const { transactionId } = await transactions.run({ branches: [branch('a', PAYLOAD)] });

    expect(a.told).toEqual([
      { transactionId, branchId: 'a', payload: PAYLOAD },
      { transactionId, branchId: 'a', state: 'committed' },
    ]);
    expect(a.order).toEqual(['started']);
  });

  it('may be written as the guide has it, and the compiler checks the payload', async () => {
    const seats = application.get(SeatsParticipant);

    const outcomes = [5, 15].map((row) =>
      transactions.run({ branches: [branch(SeatsParticipant, { row })] }),
    );
    // @ts-expect-error a seat has a row
    expectTypeOf(branch(SeatsParticipant, { column: 1 })).toBeObject();

    await expect(outcomes[0]).resolves.toMatchObject({ status: 'committed' });
    await expect(outcomes[1]).resolves.toMatchObject({ status: 'aborted' });
    expect(seats.open.size).toBe(0);
  });

  const ends: [state: BranchEnd['state'], script: ParticipantScript, ofOther: ParticipantScript][] = [
    ['committed', {}, {}],
    ['read-only', { prepare: 'read-only' }, {}],
    ['refused', { prepare: 'no' }, {}],
    ['rolled-back', {}, { prepare: 'no' }],
    ['rolled-back', { prepare: 'throw' }, {}],
  ];

  it.each(ends)('is told %s when it answers %j and the other %j', async (state, script, ofOther) => {
    const a = listening(script);
    const other = listening(ofOther, 'other');

    const { transactionId } = await transactions.run({ branches: [branch('a', 1), branch('other', 2)] });
    await settled();

    expect(a.ends).toEqual([{ transactionId, branchId: 'a', state }]);
    expect(other.ends).toHaveLength(1);
  });

  it('is notified of a heuristic end with its report', async () => {
    const a = listening({ commit: { heuristic: 'mixed' } });

    const { transactionId } = await transactions.run({ branches: [branch('a', 1)] });

    const heuristic = { kind: 'mixed', reason: 'scripted' };
    expect(a.ends).toEqual([{ transactionId, branchId: 'a', state: 'heuristic', heuristic }]);
  });

  it('is notified once for each of its branches, even if one is enlisted again', async () => {
    const a = listening();
    const transaction = transactions.begin();

    transaction.enlist(branch('a', 1));
    expect(a.told).toEqual([{ transactionId: transaction.id, branchId: 'a', payload: 1 }]);
    transaction.enlist(branch('a', 1, { branchId: 'a' }));
    transaction.enlist(branch('a', 2));
    await transaction.rollback();
    await settled();

    expect(a.told.map(({ branchId }) => branchId)).toEqual(['a', 'a.2', 'a', 'a.2']);
    expect(a.ends.map(({ state }) => state)).toEqual(['rolled-back', 'rolled-back']);
  });

  it('is not notified of a transaction that is not begun because another branch is refused', async () => {
    const a = listening();

    await expect(transactions.run({ branches: [branch('a', 1), branch('nobody', 1)] })).rejects.toThrow(
      'nobody',
    );

    expect(a.told).toEqual([]);
  });

  it('is notified of the end when the last branch of the transaction is completed', async () => {
    const a = listening();
    register(new ScriptedParticipant({ commit: ['throw', 'yes'] }), 'slow');

    await transactions.run({ branches: [branch('a', 1), branch('slow', 1)] });
    expect(a.ends).toEqual([]);
    await recoverNow(application);

    expect(a.ends).toMatchObject([{ state: 'committed' }]);
  });

  it('is notified once, even if a late answer makes one more rollback necessary', async () => {
    const gate = Promise.withResolvers<void>();
    const a = listening({ prepare: { until: gate.promise, then: { answer: 'commit' } } });
    listening({ prepare: 'no' }, 'other');

    await transactions.run({ branches: [branch('a', 1), branch('other', 1)] });
    await settled();
    gate.resolve();
    await settled();

    expect(a.count('rollback')).toBe(2);
    expect(a.ends).toMatchObject([{ state: 'rolled-back' }]);
  });

  it('is notified of the end of a branch that an earlier run started, and not of its start', async () => {
    const a = new Listening({}, clock);
    const registered = Participant({ name: 'a' });
    registered(Listening);
    const next = await startWith([{ provide: Listening, useValue: a }], { name: 'shop', log: new Kept() });
    await recoverNow(next);

    expect(a.told).toEqual([{ transactionId: 'shop-1-1', branchId: 'a', state: 'committed' }]);
  });

  it('is notified of the end of such a branch also if it is registered only after the start', async () => {
    const next = await startWith([], { name: 'shop', log: new Kept() });
    await recoverNow(next);
    const a = new Listening({}, clock);
    next.get(ParticipantRegistry).register(a, { name: 'a' });
    await recoverNow(next);

    expect(a.told).toEqual([{ transactionId: 'shop-1-1', branchId: 'a', state: 'committed' }]);
  });
});

describe('An error of a participant that is notified', () => {
  const faults: [how: string, fault: () => void | Promise<void>][] = [
    [
      'throws',
      () => {
        throw new Error('broken bookkeeping');
      },
    ],
    ['rejects', () => Promise.reject(new Error('broken bookkeeping'))],
  ];

  it.each(faults)('is logged as an error of its own, and changes nothing: %s', async (_how, fault) => {
    const a = listening();
    a.branchStarted = fault;
    a.branchEnded = fault;

    const outcome = await transactions.run({ branches: [branch('a', 1)] });
    await settled();

    expect(outcome.status).toBe('committed');
    const { transactionId } = outcome;
    expect(log.of('BranchEvents', 'error').map(({ message }) => message)).toMatchObject([
      { msg: 'branchStarted() of "a" failed: broken bookkeeping', transactionId },
      { msg: 'branchEnded() of "a" failed: broken bookkeeping', transactionId },
    ]);
    expect(application.get(CoordinatorStatus).statistics().defects).toBe(0);
  });

  it('is not awaited', async () => {
    const a = listening();
    a.branchStarted = () => new Promise(() => {});
    a.branchEnded = () => new Promise(() => {});

    await expect(transactions.run({ branches: [branch('a', 1)] })).resolves.toMatchObject({
      status: 'committed',
    });
    await expect(transactions.run({ branches: [branch('a', 1)] })).resolves.toMatchObject({
      status: 'committed',
    });
  });

  it('may end the transaction that has just started', async () => {
    const a = listening();
    const transaction = transactions.begin();
    a.branchStarted = () => void transaction.rollback('not today');

    expect(transaction.enlist(branch('a', 1))).toBe('a');

    await expect(transaction.commit()).resolves.toMatchObject({ status: 'aborted', reason: 'not today' });
  });
});

describe('The coordinator for tests', () => {
  it('tells of starts as an application does', async () => {
    const a = new Listening();
    const coordinator = createTestCoordinator({ participants: { a } });

    await coordinator.transactions.run({ branches: [branch('a', PAYLOAD)] });

    expect(a.told[0]).toMatchObject({ payload: PAYLOAD });
  });
});

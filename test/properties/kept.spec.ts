import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import {
  type GuardRecord,
  HeuristicError,
  MemoryGuardStore,
  ParticipantGuard,
  type TransactionParticipant,
  type Vote,
  branch,
  refuse,
} from '../../src/coordinator/index.js';
import { someBranch } from '../../src/coordinator/guard/guarded-branch.fixture.js';
import { ScriptedParticipant, createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';

const TRANSACTIONS = 12;
const MEBIBYTE = 2 ** 20;

async function usedBytes(): Promise<number> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  for (let round = 0; round < 3; round++) {
    await new Promise(setImmediate);
    collect();
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const bulk = (): Buffer => Buffer.alloc(MEBIBYTE, 1);
/** A fresh text of a mebibyte, of which a part is shown. */
const longText = (): string => bulk().toString('latin1');
const anError = (): Error => Object.assign(new Error('502'), { response: bulk() });
const rest: TransactionParticipant = { prepare: () => 'commit', commit() {}, rollback() {} };

/** What a participant says, of which no more than a text of limited length is to be kept. */
const SAYINGS: Record<string, Partial<TransactionParticipant>> = {
  'throws an error that holds a response': {
    prepare() {
      throw anError();
    },
  },
  'throws an error with a chain of causes': {
    prepare() {
      throw new Error('outer', { cause: anError() });
    },
  },
  'throws an error with a long message': {
    prepare() {
      throw new Error(longText());
    },
  },
  'throws a part of a long text': {
    prepare() {
      throw new Error(longText().slice(0, 200));
    },
  },
  'refuses for a long reason': { prepare: () => refuse('NO', longText()) },
  'refuses with a code that is part of a long text': { prepare: () => refuse(longText().slice(0, 50), 'no') },
  'answers with an object that is no vote': { prepare: () => ({ bulk: bulk() }) as never },
  'fails once to commit, with an error that holds a response': {
    commit({ attempt }) {
      if (attempt === 1) throw anError();
    },
  },
  'reports a heuristic end for a long reason': {
    commit() {
      throw new HeuristicError('hazard', longText());
    },
  },
};

/** How much finished transactions keep of what was said in them, in bytes for each of them. */
async function keptOf(one: () => Promise<unknown>): Promise<number> {
  await one();
  const before = await usedBytes();
  for (let run = 0; run < TRANSACTIONS; run++) await one();
  return ((await usedBytes()) - before) / TRANSACTIONS;
}

describe('The parts of user input that are kept', () => {
  it.each(Object.entries(SAYINGS))('a participant %s: a short text', async (_, saying) => {
    const { transactions, clock, runtime } = createTestCoordinator({
      participants: { one: { ...rest, ...saying }, other: new ScriptedParticipant() },
      retryBaseMs: 1,
    });
    const kept = await keptOf(async () => {
      const told = transactions.run({ branches: [branch('one', 1), branch('other', 1)] });
      await clock.advance(10);
      await told;
      await settled();
    });

    let records = 0;
    runtime.registry.forEach(() => records++);
    expect(records).toBe(TRANSACTIONS + 1);
    expect(kept).toBeLessThan(MEBIBYTE / 8);
  });
});

describe('A name of a participant that is a part of a long text', () => {
  it('is not kept by the coordinator', async () => {
    const names = Array.from({ length: TRANSACTIONS + 1 }, (_, number) => `has-a-long-name-${number}`);
    const { transactions } = createTestCoordinator({
      participants: Object.fromEntries(names.map((name) => [name, rest])),
    });
    const kept = await keptOf(async () => {
      const text = names.pop()! + longText();
      await transactions.run({ branches: [branch(text.slice(0, text.indexOf('\u0001')), 1)] });
    });

    expect(names).toEqual([]);
    expect(kept).toBeLessThan(MEBIBYTE / 8);
  });
});

describe('The parts of an answer that a guard keeps', () => {
  const works: Record<string, () => unknown> = {
    'throws an error with a long message': () => {
      throw new Error(longText());
    },
    'throws a part of a long text': () => {
      throw new Error(longText().slice(0, 200));
    },
    'throws an error that holds a response': () => {
      throw anError();
    },
    'refuses for a long reason': () => refuse('NO', longText()),
    'refuses with a code that is part of a long text': () => refuse(longText().slice(0, 50), 'no'),
    'answers with an object that is no vote': () => ({ bulk: bulk() }),
  };

  describe.each([true, false])('while its store takes records: %s', (isWell) => {
    it.each(Object.entries(works))('of work that %s: a short text', async (_, work) => {
      const records = new MemoryGuardStore();
      const store = {
        get: (key: string) => records.get(key),
        insert: (key: string, record: GuardRecord) => records.insert(key, record),
        put: (key: string, record: GuardRecord) => {
          if (!isWell) throw anError();
          records.put(key, record);
        },
      };
      const guard = new ParticipantGuard(store);
      let sequence = 0;
      const kept = await keptOf(async () => {
        const one = someBranch({ transactionId: `t${++sequence}`, payload: bulk() });
        await guard.prepare(one, work as () => Vote).catch(() => {});
      });

      expect(records.size).toBe(TRANSACTIONS + 2);
      expect(guard.held).toBe(isWell ? 0 : TRANSACTIONS + 1);
      expect(kept).toBeLessThan(MEBIBYTE / 8);
    });
  });
});

/**
 * Objects that user code attaches to a transaction, which must be collectable once it has ended and no other
 * code holds them.
 */
const HUNG: Record<string, (held: object) => Promise<unknown>> = {
  'an error told to the holder of a handle': async (held) => {
    const { transactions } = coordinatorWith({
      prepare({ payload }) {
        throw Object.assign(new Error('502'), { payload });
      },
    });
    const transaction = transactions.begin();
    for (const name of ['one', 'other']) transaction.enlist(branch(name, held));
    await transaction.commit();
    return transactions;
  },
  'a listener of the signal of a prepare': async (held) => {
    const { transactions } = coordinatorWith({
      prepare({ signal, payload }) {
        signal.addEventListener('abort', () => void payload);
        return 'commit';
      },
    });
    await transactions.run({ branches: [branch('one', held), branch('other', 1)] });
    return transactions;
  },
  'a listener of the signal of a commit': async (held) => {
    const { transactions } = coordinatorWith({
      commit: ({ signal, payload }) => signal.addEventListener('abort', () => void payload),
    });
    await transactions.run({ branches: [branch('one', held), branch('other', 1)] });
    return transactions;
  },
  'what a signal was aborted for': async (held) => {
    const { transactions } = coordinatorWith({});
    await transactions.run({ branches: [branch('one', 1)], signal: AbortSignal.abort(held) });
    return transactions;
  },
  'a payload': async (held) => {
    const { transactions } = coordinatorWith({});
    await transactions.run({ branches: [branch('one', held), branch('other', 1)] });
    return transactions;
  },
};

function coordinatorWith(deeds: Partial<TransactionParticipant>) {
  return createTestCoordinator({ participants: { one: { ...rest, ...deeds }, other: rest } });
}

describe('Objects that user code has attached to an ended transaction', () => {
  it.each(Object.entries(HUNG))('%s is let go of', async (_, hang) => {
    const hung = async (): Promise<[WeakRef<object>, unknown]> => {
      const held = { bulk: 'held' };
      return [new WeakRef(held), await hang(held)];
    };
    const [held, transactions] = await hung();
    await settled();
    await usedBytes();

    expect(held.deref()).toBeUndefined();
    expect(transactions).toBeDefined();
  });
});

describe('The error of a participant in the answer to the caller', () => {
  it('is the thing itself, once; views and later callers get its words', async () => {
    const thrown = anError();
    const { transactions } = createTestCoordinator({
      participants: {
        one: {
          ...rest,
          prepare() {
            throw thrown;
          },
        },
        other: rest,
      },
    });
    const outcome = await transactions.run({ branches: [branch('one', 1), branch('other', 1)] });

    expect(outcome).toMatchObject({ status: 'aborted', cause: 'failed', reason: '502' });
    expect(outcome.status === 'aborted' && outcome.error).toBe(thrown);
    const view = transactions.find(outcome.transactionId)!;
    expect(view).toMatchObject({ cause: 'failed', reason: '502', branches: [{ lastError: '502' }, {}] });
  });
});

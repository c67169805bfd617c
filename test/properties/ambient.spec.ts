import { describe, expect, it } from 'vitest';
import {
  type Branch,
  type TransactionManager,
  type TransactionParticipant,
  branch,
} from '../../src/coordinator/index.js';
import { createTestCoordinator, settled } from '../../src/coordinator/testing/index.js';

/** Looks for its transaction at every step of every method, between and after awaits. */
class Curious implements TransactionParticipant {
  readonly seen: { readonly method: string; readonly own: string; readonly current: string | undefined }[] =
    [];
  transactions: TransactionManager | undefined;

  async prepare(one: Branch): Promise<'commit'> {
    await this.look('prepare', one);
    return 'commit';
  }

  async commit(one: Branch): Promise<void> {
    await this.look('commit', one);
  }

  async rollback(one: Branch): Promise<void> {
    await this.look('rollback', one);
  }

  private async look(method: string, { transactionId: own }: Branch): Promise<void> {
    const note = () => this.seen.push({ method, own, current: this.transactions!.current()?.id });
    note();
    await settled();
    note();
    await Promise.all([Promise.resolve().then(note), settled().then(note)]);
  }
}

function setUp(ambient: boolean) {
  const curious = new Curious();
  const coordinator = createTestCoordinator();
  curious.transactions = coordinator.transactions;
  coordinator.participants.register(curious, { name: 'curious', ambient });
  return { ...coordinator, curious };
}

describe('The ambient transaction', () => {
  it('is found in the methods of participants that want it, each its own under Promise.all', async () => {
    const { transactions, curious } = setUp(true);
    const running = Array.from({ length: 50 }, async (_, number) => {
      if (number % 5 > 0) return transactions.run({ branches: [branch('curious', number)] });
      const transaction = transactions.begin();
      transaction.enlist(branch('curious', number));
      return transaction.rollback();
    });
    await Promise.all(running);
    await settled();
    await settled();

    expect(curious.seen).toHaveLength(40 * 8 + 10 * 4);
    for (const { own, current } of curious.seen) expect(current).toBe(own);
    expect(transactions.current()).toBeUndefined();
  });

  it('is not found by participants that do not ask for it', async () => {
    const { transactions, curious } = setUp(false);
    await transactions.run({ branches: [branch('curious', 1)] });

    for (const { current } of curious.seen) expect(current).toBeUndefined();
  });

  it('is found within run() of a transaction, below awaits, and only there', async () => {
    const { transactions } = setUp(true);
    await Promise.all(
      Array.from({ length: 50 }, async (_, number) => {
        const transaction = transactions.begin();
        const answer = await transaction.run(async () => {
          await settled();
          expect(transactions.current()?.id).toBe(transaction.id);
          expect(transactions.current()).toBe(transaction);
          transactions.current()!.enlist(branch('curious', number));
          return number;
        });
        expect(answer).toBe(number);
        expect(transactions.current()).toBeUndefined();
        expect(await transaction.commit()).toMatchObject({ status: 'committed' });
      }),
    );
  });

  it('of an inner transaction hides the outer one, and gives way to it again', async () => {
    const { transactions } = setUp(true);
    const outer = transactions.begin();
    const inner = transactions.begin();
    await outer.run(async () => {
      await inner.run(async () => {
        await settled();
        expect(transactions.current()).toBe(inner);
      });
      expect(transactions.current()).toBe(outer);
    });
    await inner.rollback();
    await outer.rollback();
  });

  it('is gone after the end, even for code that began within it', async () => {
    const { transactions } = setUp(true);
    const transaction = transactions.begin();
    const seen: (string | undefined)[] = [];
    const gate = Promise.withResolvers<void>();
    const leftover = transaction.run(async () => {
      seen.push(transactions.current()?.id);
      await gate.promise;
      seen.push(transactions.current()?.id);
    });
    await transaction.commit();
    gate.resolve();
    await leftover;

    expect(seen).toEqual([transaction.id, undefined]);
  });

  it('passes on the error of the work, and is then released', async () => {
    const { transactions } = setUp(true);
    const transaction = transactions.begin();

    expect(() =>
      transaction.run(() => {
        throw new Error('work failed');
      }),
    ).toThrow('work failed');
    expect(transactions.current()).toBeUndefined();
    expect(transaction.state).toBe('ACTIVE');
  });

  it('a participant hears the outcome of its own transaction from it, also after the caller was told', async () => {
    const { transactions, participants } = setUp(true);
    const heard: string[] = [];
    participants.register(
      {
        prepare: () => 'abort',
        commit: () => {},
        rollback: () => {},
      },
      { name: 'refusing' },
    );
    participants.register(
      {
        prepare: () => 'commit',
        commit: () => {},
        rollback: () => {
          void transactions
            .current()!
            .rollback()
            .then(({ status }) => heard.push(status));
        },
      },
      { name: 'asking', ambient: true },
    );
    await transactions.run({ branches: [branch('asking', 1), branch('refusing', 1)] });
    await settled();

    expect(heard).toEqual(['aborted']);
  });
});

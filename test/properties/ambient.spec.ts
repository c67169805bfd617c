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

  it.each([false, true])(
    'of the caller is not seen by participants of another one (ambient: %s)',
    async (ambient) => {
      const { transactions, curious } = setUp(ambient);
      const outer = transactions.begin();
      await outer.run(() =>
        transactions.scope.enclose(outer, async () => {
          await transactions.run({ branches: [branch('curious', 1)] });
          const another = transactions.begin();
          another.enlist(branch('curious', 2));
          await another.rollback();
          // A method without a transaction hides that of its caller, and that of a participant with it.
          const hidden = transactions.begin();
          hidden.enlist(branch('curious', 3));
          await transactions.scope.hide(hidden, () => hidden.commit());
          expect(transactions.current()).toBe(outer);
        }),
      );

      expect(curious.seen).toHaveLength(20);
      for (const { own, current } of curious.seen) expect(current).toBe(ambient ? own : undefined);
      await outer.rollback();
    },
  );

  it('of the caller is not joined by a participant of another one, after its end either', async () => {
    const { transactions, participants } = setUp(false);
    const seen: unknown[] = [];
    const note = () => void seen.push(transactions.enclosing()?.id);
    const noting = { branchStarted: note, prepare: note, commit: note, rollback: note, branchEnded: note };
    participants.register(noting as unknown as TransactionParticipant, { name: 'noting' });
    const outer = transactions.begin();
    await transactions.scope.enclose(outer, async () => {
      await outer.rollback();
      await transactions.run({ branches: [branch('noting', 1)] });
      await settled();
    });

    expect(seen).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('of the caller is not seen by those that listen to a signal of another one', async () => {
    const { transactions, participants } = setUp(false);
    const seen: [string, string | undefined][] = [];
    const listening = {
      prepare: ({ signal, payload }: Branch<string>) => {
        signal.addEventListener('abort', () => seen.push([payload, transactions.current()?.id]));
        return new Promise<never>(() => {});
      },
      commit: () => {},
      rollback: () => {},
    };
    participants.register(listening, { name: 'listening' });
    const outer = transactions.begin();
    await outer.run(async () => {
      const cancelling = new AbortController();
      const { signal } = cancelling;
      const cancelled = transactions.run({ branches: [branch('listening', 'cancelled')], signal });
      cancelling.abort();
      const another = transactions.begin();
      another.enlist(branch('listening', 'rolled back'));
      void another.commit();
      await Promise.all([another.rollback(), cancelled]);
    });

    expect(seen).toEqual([
      ['cancelled', undefined],
      ['rolled back', undefined],
    ]);
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

import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { answerOf } from '../gate/answer.js';
import { failureOf } from '../gate/failure.js';
import type { TransactionParticipant } from '../participant/participant.js';
import { createTestCoordinator, settled } from '../testing/index.js';
import { BranchRecord } from './records.js';
import { callParticipant } from './call.js';
import type { CallTrace, TransactionTrace } from './trace.js';

type Ended = ['fulfilled' | 'rejected', unknown];

/** Calls a participant whose prepare returns this, and lists the answers during the call and after it. */
async function call(prepare: () => unknown, ambient = false, trace?: CallTrace) {
  const { runtime, participants } = createTestCoordinator();
  const instance = { prepare, commit() {}, rollback() {} } as TransactionParticipant;
  participants.register(instance, { name: 'odd', ambient });
  const participant = participants.resolve('odd');
  const transaction = runtime.admission.create(undefined, undefined, 0);
  const branch = new BranchRecord(transaction, 0, participant, 1, undefined);
  if (trace !== undefined) {
    const run: TransactionTrace['run'] = (work) => work();
    transaction.needExtras().trace = { run, calling: () => trace } as unknown as TransactionTrace;
  }
  const ended: Ended[] = [];
  callParticipant(
    participant,
    'prepare',
    branch,
    transaction,
    runtime.ambient,
    (value) => ended.push(['fulfilled', value]),
    (error) => ended.push(['rejected', error]),
  );
  const during = ended.length;
  await settled();
  return { during, ended };
}

/** A promise subclass of the caller, whose `then` behaves as given. */
class OddPromise extends Promise<unknown> {
  static behaviour: (resolve: (value: unknown) => void) => void = () => {};

  override then<A, B>(onFulfilled?: ((value: unknown) => A | PromiseLike<A>) | null): Promise<A | B> {
    OddPromise.behaviour((value) => void onFulfilled?.(value));
    return new Promise(() => {});
  }
}

const oops = new Error('oops');

/** A thenable that resolves with itself. */
const circle = { then: (resolve: (value: unknown) => void) => resolve(circle) };

const ANSWERS: [string, () => unknown, Ended[]][] = [
  ['a value', () => 'commit', [['fulfilled', 'commit']]],
  ['nothing', () => undefined, [['fulfilled', undefined]]],
  ['a promise', () => Promise.resolve('commit'), [['fulfilled', 'commit']]],
  ['a promise of a promise', async () => Promise.resolve('commit'), [['fulfilled', 'commit']]],
  ['a rejection', () => Promise.reject(oops), [['rejected', oops]]],
  ['a rejection with nothing', () => Promise.reject(undefined), [['rejected', undefined]]],
  [
    'an error',
    () => {
      throw oops;
    },
    [['rejected', oops]],
  ],
  [
    'an object with the prototype of promises',
    () => Object.create(Promise.prototype) as unknown,
    [['rejected', expect.any(TypeError)]],
  ],
  [
    'a promise whose own constructor is another at the second read',
    () => {
      let reads = 0;
      const get = (): unknown => (reads++ === 0 ? Promise : OddPromise);
      return Object.defineProperty(Promise.resolve('commit'), 'constructor', { get });
    },
    [['fulfilled', 'commit']],
  ],
  [
    'a thenable',
    () => ({ then: (resolve: (value: string) => void) => resolve('commit') }),
    [['fulfilled', 'commit']],
  ],
  [
    'a thenable that calls back twice',
    () => ({
      then: (resolve: (value: string) => void, reject: (error: unknown) => void) => {
        resolve('commit');
        resolve('abort');
        reject(oops);
      },
    }),
    [['fulfilled', 'commit']],
  ],
  [
    'a thenable that throws',
    () => ({
      then: () => {
        throw oops;
      },
    }),
    [['rejected', oops]],
  ],
  [
    'a thenable that answers and then throws',
    () => ({
      then: (resolve: (value: string) => void) => {
        resolve('commit');
        throw oops;
      },
    }),
    [['fulfilled', 'commit']],
  ],
  ['a thenable that never calls back', () => ({ then: () => {} }), []],
  [
    'an object whose then cannot be read',
    () => ({
      get then() {
        throw oops;
      },
    }),
    [['rejected', oops]],
  ],
  [
    'a promise whose own then calls back at once, and twice',
    () =>
      Object.assign(Promise.resolve(), {
        then: (resolve: (value: string) => void) => {
          resolve('commit');
          resolve('abort');
        },
      }),
    [['fulfilled', 'commit']],
  ],
  [
    'a promise whose then cannot be read',
    () =>
      Object.defineProperty(Promise.resolve('commit'), 'then', {
        get() {
          throw oops;
        },
      }),
    [['rejected', oops]],
  ],
  [
    'a promise whose own then throws',
    () =>
      Object.assign(Promise.resolve(), {
        then: () => {
          throw oops;
        },
      }),
    [['rejected', oops]],
  ],
  [
    'a promise behind a Proxy',
    () => new Proxy(Promise.resolve('commit'), {}),
    [['rejected', expect.objectContaining({ name: 'TypeError' })]],
  ],
  [
    'a promise behind a correct Proxy',
    () =>
      new Proxy(Promise.resolve('commit'), {
        get: (target, key) => (Reflect.get(target, key) as () => unknown).bind(target),
      }),
    [['fulfilled', 'commit']],
  ],
  [
    'a Proxy that was revoked',
    () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    },
    [['rejected', expect.objectContaining({ name: 'TypeError' })]],
  ],
  [
    'a rejected promise whose own then throws',
    () =>
      Object.assign(Promise.reject(new Error('unheard')), {
        then: () => {
          throw oops;
        },
      }),
    [['rejected', oops]],
  ],
  [
    'a rejected promise whose then cannot be read',
    () =>
      Object.defineProperty(Promise.reject(new Error('unheard')), 'then', {
        get() {
          throw oops;
        },
      }),
    [['rejected', oops]],
  ],
  [
    'a thenable that answers and then rejects by itself',
    () => ({
      then: async (resolve: (value: string) => void) => {
        resolve('commit');
        throw oops;
      },
    }),
    [['fulfilled', 'commit']],
  ],
  [
    'a promise of another realm',
    () => runInNewContext('Promise.resolve("commit")') as unknown,
    [['fulfilled', 'commit']],
  ],
  [
    'a thenable that resolves with itself',
    () => circle,
    [
      [
        'rejected',
        expect.objectContaining({ message: 'the answer resolves through more than 16 thenables' }),
      ],
    ],
  ],
  [
    'an object whose then is a function only at the second read',
    () => {
      let reads = 0;
      return {
        get then() {
          return reads++ === 0 ? undefined : (resolve: (value: string) => void) => resolve('commit');
        },
      };
    },
    [['fulfilled', expect.objectContaining({ description: 'an object' })]],
  ],
];

/** The expectation for an object is that of the value read from it. */
function readAnswer(value: unknown): unknown {
  return isMatcher(value) ? value : answerOf(value);
}

function readFailure(error: unknown): unknown {
  return isMatcher(error) ? expect.objectContaining({ thrown: error }) : failureOf(error);
}

function isMatcher(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'asymmetricMatch' in value;
}

describe('callParticipant', () => {
  describe.each([false, true])('with ambient: %s', (ambient) => {
    it.each(ANSWERS)('reports %s at most once, and after the call', async (_, prepare, expected) => {
      const { during, ended } = await call(prepare, ambient);

      expect(during).toBe(0);
      expect(ended).toEqual(expected);
    });

    it.each(ANSWERS)('reports %s to the trace of the call as well', async (_, prepare, expected) => {
      const traced: Ended[] = [];
      let calls = 0;
      const { during, ended } = await call(prepare, ambient, {
        run(work) {
          calls++;
          return work();
        },
        answered: (value) => traced.push(['fulfilled', value]),
        failed: (error) => traced.push(['rejected', error]),
      });

      expect([during, calls]).toEqual([0, 1]);
      const read = expected.map(([how, value]) => [
        how,
        how === 'fulfilled' ? readAnswer(value) : readFailure(value),
      ]);
      expect(ended).toEqual(read);
      expect(traced).toEqual(read);
    });
  });

  it('ends the trace of a call before its answer takes effect', async () => {
    const order: string[] = [];
    const run: CallTrace['run'] = (work) => {
      order.push('begin');
      const result = work();
      order.push('called');
      return result;
    };
    const trace = { run, answered: () => order.push('answered'), failed: () => order.push('failed') };
    const prepare = () => order.push('prepare');

    const { ended } = await call(prepare, false, trace);

    expect(order).toEqual(['begin', 'prepare', 'called', 'answered']);
    expect(ended).toHaveLength(1);
  });

  it('adopts a promise of another class, whatever its then does', async () => {
    const odd = () => new OddPromise(() => {});
    OddPromise.behaviour = (resolve) => {
      resolve('commit');
      resolve('abort');
    };
    expect(await call(odd)).toEqual({ during: 0, ended: [['fulfilled', 'commit']] });
    OddPromise.behaviour = () => {
      throw oops;
    };
    expect(await call(odd)).toEqual({ during: 0, ended: [['rejected', oops]] });
  });

  it.each([false, true])(
    'is made outside the transaction of the calling code (ambient: %s)',
    async (ambient) => {
      const { transactions, runtime, participants } = createTestCoordinator();
      const seen: unknown[] = [];
      const prepare = () => void seen.push(transactions.enclosing()?.id);
      participants.register({ prepare, commit() {}, rollback() {} } as unknown as TransactionParticipant, {
        name: 'odd',
        ambient,
      });
      const transaction = runtime.admission.create(undefined, undefined, 0);
      const branch = new BranchRecord(transaction, 0, participants.resolve('odd'), 1, undefined);
      const callIt = (): void =>
        callParticipant(branch.participant, 'prepare', branch, transaction, runtime.ambient, note, note);
      const note = (): void => void seen.push(transactions.enclosing()?.id);
      const outer = transactions.begin();
      await transactions.scope.enclose(outer, async () => callIt());
      outer.run(callIt);
      await settled();

      const own = ambient ? transaction.id : undefined;
      expect(seen).toEqual([own, undefined, own, undefined]);
    },
  );
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type CanActivate,
  Controller,
  type ExecutionContext,
  Get,
  HttpCode,
  Injectable,
  Module,
  Param,
  Post,
  Scope,
  SetMetadata,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { EventEmitterModule } from '@nestjs/event-emitter';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Cron, ScheduleModule, SchedulerRegistry } from '@nestjs/schedule';
import { ApiOperation, DocumentBuilder, SwaggerModule } from '@nestjs/swagger';
import { Test, type TestingModule } from '@nestjs/testing';
import { Observable, of } from 'rxjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ProblemFilter } from '../../src/operations/problem/problem.filter.js';
import {
  type Branch,
  CoordinatorModule,
  DistributedTransaction,
  InTransactionError,
  InvalidMethodError,
  InvalidOptionsError,
  NoTransactionError,
  NotActiveError,
  NotCommittedError,
  NotManagedError,
  OnTransaction,
  type Outcome,
  OverloadedError,
  Participant,
  ParticipantRegistry,
  type Propagation,
  type TransactionAbortedEvent,
  TransactionManager,
  type TransactionParticipant,
  type TransactionRequest,
  branch,
} from '../../src/coordinator/index.js';
import {
  ManualClock,
  type ParticipantScript,
  ScriptedParticipant,
  settled,
} from '../../src/coordinator/testing/index.js';
import { start, startWith } from './support/applications.js';
import { LogRecorder } from './support/log-recorder.js';

interface Line {
  readonly sku: string;
  readonly quantity: number;
}

interface Order {
  readonly id: string;
  readonly lines: readonly Line[];
  readonly amount: number;
}

@Participant({ name: 'inventory' })
class InventoryParticipant implements TransactionParticipant<Line> {
  readonly taken: string[] = [];

  prepare({ payload }: Branch<Line>): 'commit' | 'abort' {
    return payload.quantity > 3 ? 'abort' : 'commit';
  }

  commit({ payload }: Branch<Line>): void {
    this.taken.push(payload.sku);
  }

  rollback(): void {}
}

class OutOfPaper extends Error {}

@Injectable()
class Invoices {
  async print({ amount }: Order): Promise<void> {
    if (amount === 13) throw new OutOfPaper('no paper');
  }
}

@Injectable()
export class Stock {
  constructor(private readonly transactions: TransactionManager) {}

  @DistributedTransaction({ propagation: 'mandatory' })
  async reserve(lines: readonly Line[]): Promise<void> {
    for (const line of lines) this.transactions.enlist(branch(InventoryParticipant, line));
  }
}

@Injectable()
export class Checkout {
  constructor(
    private readonly stock: Stock,
    private readonly invoices: Invoices,
    private readonly transactions: TransactionManager,
  ) {}

  @DistributedTransaction({ timeoutMs: 3_000 })
  async place(order: Order): Promise<string> {
    await this.stock.reserve(order.lines);
    await this.invoices.print(order);
    this.transactions.enlist(branch('payment', { amount: order.amount }));
    return order.id;
  }

  async placeAtOnce(order: Order): Promise<string> {
    const outcome = await this.transactions.run({
      name: 'create-order',
      branches: [
        ...order.lines.map((line) => branch(InventoryParticipant, line)),
        branch('payment', { amount: order.amount }),
      ],
      timeoutMs: 3_000,
    });
    return outcome.status;
  }

  async placeStepByStep(order: Order): Promise<string> {
    const transaction = this.transactions.begin({ name: 'create-order', timeoutMs: 3_000 });
    for (const line of order.lines) transaction.enlist(branch(InventoryParticipant, line));
    if (order.amount > 0) transaction.enlist(branch('payment', { amount: order.amount }));
    const outcome = await transaction.commit();
    return outcome.status;
  }
}

export async function runOnce(
  transactions: TransactionManager,
  { branches }: TransactionRequest,
  requestId: string,
  fingerprint: string,
): Promise<Outcome> {
  const outcome = await transactions.run({ key: requestId, fingerprint, branches });
  if (outcome.repeated) {
    // An earlier request has this key: nothing was begun, and this is the outcome of its transaction.
  }
  return outcome;
}

@Controller('orders')
@UseFilters(ProblemFilter)
export class OrdersController {
  constructor(private readonly checkout: Checkout) {}

  @Post(':amount')
  @HttpCode(201)
  async place(@Param('amount') amount: string): Promise<{ id: string } | { pending: string }> {
    try {
      const order = { id: 'o-1', lines: [{ sku: 'lamp', quantity: Number(amount) }], amount: Number(amount) };
      return { id: await this.checkout.place(order) };
    } catch (error) {
      if (error instanceof NotCommittedError && error.outcome.status === 'pending') {
        return { pending: error.transactionId };
      }
      throw error;
    }
  }
}

const ORDER: Order = { id: 'o-1', lines: [{ sku: 'lamp', quantity: 1 }], amount: 7 };

/** Does as it is told by each test, in a transaction. */
@Injectable()
class Works {
  constructor(readonly transactions: TransactionManager) {}

  @DistributedTransaction()
  async required<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  @DistributedTransaction({ propagation: 'requires-new', name: 'another' })
  async requiresNew<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  @DistributedTransaction({ propagation: 'supports' })
  async supports<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  @DistributedTransaction({ propagation: 'mandatory' })
  async mandatory<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  @DistributedTransaction({ propagation: 'never' })
  async never<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  @DistributedTransaction({ propagation: 'not-supported' })
  async notSupported<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  @DistributedTransaction({ name: 'named', timeoutMs: 70 })
  async short<T>(work: () => Promise<T>): Promise<T> {
    return work();
  }

  /** Which transaction it finds itself in. */
  readonly current = async (): Promise<string | undefined> => this.transactions.current()?.id;
}

let clock: ManualClock;
let application: TestingModule;
let works: Works;
let transactions: TransactionManager;
let payment: ScriptedParticipant;

beforeEach(async () => {
  clock = new ManualClock();
  const options = { clock, timeoutMs: 1_000, maxAttempts: 2, maxInFlight: 30, random: () => 0.5 };
  application = await startWith([InventoryParticipant, Stock, Invoices, Checkout, Works], options);
  works = application.get(Works);
  transactions = application.get(TransactionManager);
  payment = register('payment');
});

function register(name: string, script: ParticipantScript = {}): ScriptedParticipant {
  const participant = new ScriptedParticipant(script, clock);
  application.get(ParticipantRegistry).register(participant, { name });
  return participant;
}

/** @returns the error with which a call is rejected. */
async function rejectionOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error('was to be rejected');
}

async function notCommitted(call: Promise<unknown>): Promise<NotCommittedError> {
  const error = await rejectionOf(call);
  expect(error).toBeInstanceOf(NotCommittedError);
  return error as NotCommittedError;
}

describe('A decorated method', () => {
  it('commits branches that were enlisted below it, at any depth, and returns its own value', async () => {
    await expect(application.get(Checkout).place(ORDER)).resolves.toBe('o-1');

    expect(application.get(InventoryParticipant).taken).toEqual(['lamp']);
    const [view, ...others] = transactions.list();
    expect(others).toEqual([]);
    expect(view).toMatchObject({ name: 'Checkout.place', state: 'COMMITTED' });
    expect(view!.branches.map(({ branchId }) => branchId)).toEqual(['inventory', 'payment']);
    expect(payment.effectOn(view!.transactionId, 'payment')).toBe('committed');
  });

  it('has a transaction of its own for each call, and none is left when it has returned', async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, () => works.required(works.current)));

    expect(new Set(ids).size).toBe(20);
    expect(ids).not.toContain(undefined);
    expect(transactions.current()).toBeUndefined();
  });

  it('rolls back when it throws, prepares nothing, and passes on the same error', async () => {
    const error = await rejectionOf(application.get(Checkout).place({ ...ORDER, amount: 13 }));

    expect(error).toBeInstanceOf(OutOfPaper);
    expect(transactions.list()).toMatchObject([
      { state: 'ABORTED', cause: 'rolled-back', reason: 'Checkout.place failed: no paper' },
    ]);
    expect(payment.calls).toEqual([]);
  });

  it('does not say that nothing was changed when it throws after it has asked for commit by itself', async () => {
    const late = new Error('too late');
    const commitAndThrow = async (): Promise<never> => {
      transactions.enlist(branch('payment', 1));
      await transactions.current()!.commit();
      throw late;
    };
    expect(await rejectionOf(works.required(commitAndThrow))).toMatchObject({
      code: 'DTC_FAILED_AFTER_COMMIT',
      cause: late,
    });
  });

  it('rolls back its branches even if it throws synchronously', async () => {
    const error = new Error('at once');
    const thrown = await rejectionOf(
      works.required(() => {
        transactions.enlist(branch('payment', 1));
        throw error;
      }),
    );

    expect(thrown).toBe(error);
    expect(payment.calls.map(({ method }) => method)).toEqual(['rollback']);
  });

  it('throws NotCommittedError with the outcome when a participant refuses, though it returned', async () => {
    const { outcome, transactionId, code } = await notCommitted(
      application.get(Checkout).place({ ...ORDER, lines: [{ sku: 'lamp', quantity: 9 }] }),
    );

    expect(code).toBe('DTC_NOT_COMMITTED');
    expect(outcome).toMatchObject({
      status: 'aborted',
      cause: 'refused',
      participant: 'inventory',
      transactionId,
    });
  });

  it('passes on the error of a participant as the cause', async () => {
    payment.script = { prepare: 'throw' };

    const error = await notCommitted(application.get(Checkout).place(ORDER));

    expect(error.cause).toEqual(new Error('scripted failure'));
    expect(error.message).toMatch(/is not committed but aborted: scripted failure\. Nothing was changed/);
  });

  it('throws NotCommittedError, and says that commit is decided, when a participant cannot be reached', async () => {
    payment.script = { commit: 'hang' };

    const placing = notCommitted(application.get(Checkout).place(ORDER));
    await clock.advance(5_000);

    expect((await placing).outcome).toMatchObject({ status: 'pending', decision: 'commit' });
  });

  it('throws NotCommittedError when a participant ended otherwise', async () => {
    payment.script = { commit: { heuristic: 'rollback' } };

    const { outcome, message } = await notCommitted(application.get(Checkout).place(ORDER));

    expect(outcome).toMatchObject({ status: 'heuristic', decision: 'commit' });
    expect(message).toMatch(
      /heuristic: commit is decided, but payment ended otherwise, or may have\. A participant/,
    );
  });

  it('is not even called when the coordinator takes no transaction', async () => {
    const taken = Array.from({ length: 30 }, () => transactions.begin());
    let calls = 0;

    const error = await rejectionOf(works.required(async () => calls++));

    expect(error).toBeInstanceOf(OverloadedError);
    expect(calls).toBe(0);
    await Promise.all(taken.map((transaction) => transaction.rollback()));
  });

  it('throws NotCommittedError with the reason when it has ruled commit out', async () => {
    const { outcome } = await notCommitted(
      works.required(async () => transactions.current()!.setRollbackOnly('the customer is blocked')),
    );

    expect(outcome).toMatchObject({ cause: 'rollback-only', reason: 'the customer is blocked' });
  });

  it('begins a transaction that is named and timed as it says, and by its class and name if it does not', async () => {
    const nameOf = async () => transactions.current()!.name;

    await expect(works.required(nameOf)).resolves.toBe('Works.required');
    await expect(works.short(nameOf)).resolves.toBe('named');
    const late = notCommitted(works.short(() => clock.delay(80)));
    await clock.advance(80);
    expect((await late).outcome).toMatchObject({ cause: 'timed-out' });
  });
});

describe('A method that has joined', () => {
  it('dooms the transaction when it throws, also when that is swallowed, and is found as the cause', async () => {
    const error = new Error('inner');

    const { outcome, cause } = await notCommitted(
      works.required(async () => {
        await works.required(() => Promise.reject(error)).catch(() => undefined);
        await works.required(() => Promise.reject(new Error('a later one'))).catch(() => undefined);
        expect(transactions.current()!.isRollbackOnly).toBe(true);
      }),
    );

    expect(outcome).toMatchObject({ cause: 'rollback-only', reason: 'Works.required failed: inner' });
    expect(cause).toBe(error);
  });

  it('passes on the very error, and so does the method that it had joined', async () => {
    const error = new Error('inner');

    expect(await rejectionOf(works.required(() => works.required(() => Promise.reject(error))))).toBe(error);
  });

  it('has no effect on the name and the deadline', async () => {
    const joined = works.required(() =>
      works.short(async () => {
        await clock.delay(500);
        return transactions.current()!.name;
      }),
    );
    await clock.advance(500);

    await expect(joined).resolves.toBe('Works.required');
  });

  it('joins a transaction that was begun by hand, and leaves its end to the caller', async () => {
    const transaction = transactions.begin();

    await expect(transaction.run(() => works.required(works.current))).resolves.toBe(transaction.id);
    expect(transaction.state).toBe('ACTIVE');
    await transaction.rollback();
  });
});

describe('A transaction that is aborted at its deadline while the method continues', () => {
  it('accepts no further branch and no method; none of them begins another transaction', async () => {
    const seen: unknown[] = [];
    const late = notCommitted(
      works.short(async () => {
        transactions.enlist(branch('payment', 1));
        await clock.delay(100);
        expect(transactions.current()).toBeUndefined();
        const attempts = [
          async () => transactions.enlist(branch('payment', 2)),
          () => works.required(works.current),
          () => works.mandatory(works.current),
          () => works.supports(works.current),
        ];
        for (const attempt of attempts) seen.push(await rejectionOf(attempt()));
      }),
    );
    await clock.advance(100);

    expect((await late).outcome).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(seen).toHaveLength(4);
    for (const error of seen) expect(error).toMatchObject({ code: 'DTC_NOT_ACTIVE', state: 'ABORTED' });
    expect(transactions.list()).toHaveLength(1);
    expect(payment.calls.map(({ method }) => method)).toEqual(['rollback']);
  });

  it('is reported to the caller when the method passes on that it came too late', async () => {
    const late = notCommitted(
      works.short(async () => {
        await clock.delay(100);
        return transactions.enlist(branch('payment', 1));
      }),
    );
    await clock.advance(100);

    const { outcome, cause } = await late;
    expect(outcome).toMatchObject({ status: 'aborted', cause: 'timed-out' });
    expect(cause).toBeInstanceOf(NotActiveError);
  });

  it('changes nothing about an error of the method itself', async () => {
    const error = new Error('its own');
    const late = rejectionOf(
      works.short(async () => {
        await clock.delay(100);
        throw error;
      }),
    );
    await clock.advance(100);

    expect(await late).toBe(error);
  });
});

describe('Work that outlives its method', () => {
  it('adds nothing to the transaction, and may begin another', async () => {
    const gate = Promise.withResolvers<void>();
    let leftover: Promise<unknown> | undefined;
    const id = await works.required(async () => {
      leftover = gate.promise.then(async () => {
        expect(() => transactions.enlist(branch('payment', 1))).toThrow(NoTransactionError);
        return works.required(works.current);
      });
      return works.current();
    });
    gate.resolve();

    const another = await leftover;
    expect(another).toMatch(/^coordinator/);
    expect(another).not.toBe(id);
  });

  it('is refused while others still enlist: the rest of a Promise.all of which one has failed', async () => {
    const gate = Promise.withResolvers<void>();
    const slow = works.required.bind(works);
    let rest: Promise<unknown> | undefined;

    await rejectionOf(
      works.required(() => {
        rest = rejectionOf(slow(() => gate.promise.then(() => transactions.enlist(branch('payment', 1)))));
        return Promise.all([rest, works.required(() => Promise.reject(new Error('first')))]);
      }),
    );
    gate.resolve();

    expect(await rest).toBeInstanceOf(NoTransactionError);
    expect(payment.calls).toEqual([]);
  });
});

describe('Propagation', () => {
  const methods: Record<
    Propagation,
    (work: () => Promise<string | undefined>) => Promise<string | undefined>
  > = {
    required: (work) => works.required(work),
    'requires-new': (work) => works.requiresNew(work),
    supports: (work) => works.supports(work),
    mandatory: (work) => works.mandatory(work),
    never: (work) => works.never(work),
    'not-supported': (work) => works.notSupported(work),
  };
  type Found = 'its own' | "the caller's" | 'none' | typeof NoTransactionError | typeof InTransactionError;
  const table: [propagation: Propagation, without: Found, within: Found][] = [
    ['required', 'its own', "the caller's"],
    ['requires-new', 'its own', 'its own'],
    ['supports', 'none', "the caller's"],
    ['mandatory', NoTransactionError, "the caller's"],
    ['never', 'none', InTransactionError],
    ['not-supported', 'none', 'none'],
  ];

  /** The transaction that a method with this propagation finds when it is called here. */
  async function found(propagation: Propagation): Promise<Found> {
    const outer = await works.current();
    try {
      const inner = await methods[propagation](works.current);
      expect(await works.current()).toBe(outer);
      if (inner === undefined) return 'none';
      return inner === outer ? "the caller's" : 'its own';
    } catch (error) {
      return (error as Error).constructor as Found;
    }
  }

  it.each(table)('"%s" finds, outside and within a transaction', async (propagation, without, within) => {
    expect(await found(propagation)).toBe(without);
    expect(await works.required(() => found(propagation))).toBe(within);
    await settled();
    expect(transactions.list({ state: 'ACTIVE' })).toEqual([]);
  });

  it('"requires-new" keeps its commit when the caller then rolls back, and does not stop the caller from committing', async () => {
    const enlist = async (id: string) => transactions.enlist(branch('payment', id, { branchId: id }));
    const error = new Error('of the caller');

    await rejectionOf(
      works.required(async () => {
        await enlist('outer');
        await works.requiresNew(() => enlist('inner'));
        await rejectionOf(works.requiresNew(() => Promise.reject(new Error('inner'))));
        expect(transactions.current()!.isRollbackOnly).toBe(false);
        throw error;
      }),
    );

    expect([...payment.effects.values()].toSorted()).toEqual(['committed', 'rolled-back']);
  });

  it('"not-supported" may begin a transaction below, and its error dooms no other', async () => {
    const id = await works.required(async () => {
      await rejectionOf(works.notSupported(() => Promise.reject(new Error('of no concern'))));
      await expect(works.notSupported(async () => transactions.enlist(branch('payment', 1)))).rejects.toThrow(
        NoTransactionError,
      );
      const inner = await works.notSupported(() => works.required(works.current));
      expect(inner).not.toBe(await works.current());
      return inner;
    });

    expect(id).toMatch(/^coordinator/);
  });
});

describe('The instances', () => {
  it('without a coordinator refuse, with a rejection that gives the remedy', async () => {
    const unmanaged = new Works(transactions);
    const detached = Object.getOwnPropertyDescriptor(Works.prototype, 'required')!.value as Works['required'];

    const error = await rejectionOf(unmanaged.required(works.current));
    expect(error).toBeInstanceOf(NotManagedError);
    expect((error as Error).message).toMatch(/^Works\.required .* Let Nest create it/);
    expect(await rejectionOf(Reflect.apply(detached, undefined, [works.current]))).toBeInstanceOf(
      NotManagedError,
    );
  });

  it('of a subclass have the methods of both, also where one overrides the other', async () => {
    @Injectable()
    class Sub extends Works {
      override async required<T>(work: () => Promise<T>): Promise<T> {
        expect(this.transactions.current()).toBeUndefined();
        return super.required(work);
      }
    }
    const other = await startWith([Sub]);
    const sub = other.get(Sub);

    const names = async () => other.get(TransactionManager).current()?.name;
    await expect(sub.required(names)).resolves.toBe('Sub.required');
    await expect(sub.short(names)).resolves.toBe('named');
  });

  it('are found in whichever way they are provided, and in every module that provides the class', async () => {
    const value = new Works(undefined as unknown as TransactionManager);
    @Module({ providers: [Works, { provide: 'OWN', useExisting: Works }], exports: ['OWN'] })
    class Feature {}
    @Module({ providers: [Works] })
    class Other {}
    const other = await start({
      imports: [CoordinatorModule.forRoot(), Feature, Other],
      providers: [
        {
          provide: 'FACTORY',
          inject: [TransactionManager],
          useFactory: async (of: TransactionManager) => new Works(of),
        },
        { provide: 'VALUE', useValue: value },
      ],
    });
    const manager = other.get(TransactionManager);
    const nameOf = async () => manager.current()?.name;

    const found = [
      other.select(Other).get(Works, { strict: true }),
      other.get('FACTORY'),
      other.get('VALUE'),
      other.select(Feature).get('OWN'),
    ];
    expect(new Set(found).size).toBe(4);
    for (const each of found as Works[]) await expect(each.required(nameOf)).resolves.toBe('Works.required');
  });

  it('of two applications in one process have a coordinator each', async () => {
    const other = await startWith([Works], { name: 'other' });
    const theirs = other.get(Works);

    const [first, second] = await Promise.all([
      works.required(() => theirs.required(async () => [await works.current(), await theirs.current()])),
      theirs.required(theirs.current),
    ]);

    expect(first).toEqual([expect.stringMatching(/^coordinator/), expect.stringMatching(/^other/)]);
    expect(second).toMatch(/^other/);
  });
});

describe('The start is refused', () => {
  it.each([
    ['request-scoped', Scope.REQUEST],
    ['transient', Scope.TRANSIENT],
  ])('where the class is %s', async (_name, scope) => {
    @Injectable({ scope })
    class Scoped {
      @DistributedTransaction()
      async work(): Promise<void> {}
    }

    await expect(startWith([Scoped])).rejects.toThrow(InvalidMethodError);
    await expect(startWith([Scoped])).rejects.toThrow(/^Scoped\.work .* request-scoped or transient/);
  });

  it('where a controller injects something request-scoped', async () => {
    @Injectable({ scope: Scope.REQUEST })
    class Scoped {}
    @Controller()
    class Routes {
      constructor(readonly scoped: Scoped) {}

      @DistributedTransaction()
      async work(): Promise<void> {}
    }

    await expect(
      start({ imports: [CoordinatorModule.forRoot()], controllers: [Routes], providers: [Scoped] }),
    ).rejects.toThrow(InvalidMethodError);
  });

  it('where the method is a generator or answers with an Observable', async () => {
    class Generator {
      // @ts-expect-error a generator is no promise
      @DistributedTransaction()
      async *work(): AsyncGenerator<number> {
        yield 1;
      }
    }
    class Stream {
      // @ts-expect-error an Observable is no promise
      @DistributedTransaction()
      work(): Observable<number> {
        return new Observable();
      }
    }

    await expect(startWith([Generator])).rejects.toThrow(/^Generator\.work .* an Observable or a generator/);
    await expect(startWith([Stream])).rejects.toThrow(/^Stream\.work .* an Observable or a generator/);
  });

  it('where an option is impossible, unknown or without any effect', async () => {
    const options = [
      { timeoutMs: 0 },
      { name: 'x'.repeat(101) },
      { propagation: 'sometimes' },
      { timeout: 5 },
    ];
    for (const given of [...options, { propagation: 'mandatory', timeoutMs: 5 }]) {
      class Wrong {
        @DistributedTransaction(given as object)
        async work(): Promise<void> {}

        @DistributedTransaction()
        async right(): Promise<void> {}
      }
      await expect(startWith([Wrong])).rejects.toThrow(InvalidOptionsError);
      await expect(startWith([Wrong])).rejects.toThrow(/@DistributedTransaction on Wrong\.work/);
    }
  });

  it('by the compiler already, where it can tell', () => {
    class Wrong {
      // @ts-expect-error the method has to be asynchronous
      @DistributedTransaction()
      synchronous(): number {
        return 1;
      }

      // @ts-expect-error it begins no transaction that could have a deadline
      @DistributedTransaction({ propagation: 'supports', timeoutMs: 5 })
      async untimed(): Promise<void> {}
    }

    expect(new Wrong()).toBeDefined();
  });
});

describe('Errors that the compiler cannot find', () => {
  it('a method that answers with a stream after all is rolled back', async () => {
    const streams = [of(1), (function* () {})(), (async function* () {})()];
    for (const stream of streams) {
      const error = await rejectionOf(
        works.required(async () => {
          transactions.enlist(branch('payment', 1));
          // Not by its promise, which would be the stream itself.
          return stream;
        }),
      );
      expect(error).toBeInstanceOf(InvalidMethodError);
    }
    expect(payment.calls.map(({ method }) => method)).toEqual(['rollback', 'rollback', 'rollback']);
  });

  it('a method without a promise gets one', async () => {
    class Plain {
      @DistributedTransaction()
      work(): Promise<number> {
        return 5 as unknown as Promise<number>;
      }
    }
    const other = await startWith([Plain]);

    await expect(other.get(Plain).work()).resolves.toBe(5);
  });
});

const ROLE = 'role';

@Injectable()
class RoleGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    return this.reflector.get<string>(ROLE, context.getHandler()) === 'customer';
  }
}

/** Each decorator once above and once below the one of the transaction. */
@Controller('shop')
@UseGuards(RoleGuard)
@UseFilters(ProblemFilter)
class Shop {
  readonly heard: string[] = [];

  constructor(
    readonly transactions: TransactionManager,
    readonly schedule: SchedulerRegistry,
  ) {}

  @Get('below/:id')
  @SetMetadata(ROLE, 'customer')
  @ApiOperation({ summary: 'below' })
  @DistributedTransaction()
  async below(@Param('id') id: string): Promise<object> {
    return { id, within: this.transactions.current()!.name };
  }

  @DistributedTransaction()
  @Get('above/:id')
  @SetMetadata(ROLE, 'customer')
  @ApiOperation({ summary: 'above' })
  async above(@Param('id') id: string): Promise<object> {
    return { id, within: this.transactions.current()!.name };
  }

  @DistributedTransaction()
  @SetMetadata(ROLE, 'nobody')
  @Get('forbidden')
  async forbidden(): Promise<void> {}

  @DistributedTransaction()
  @SetMetadata(ROLE, 'customer')
  @Get('doomed')
  async doomed(): Promise<void> {
    this.transactions.current()!.setRollbackOnly('secret');
  }

  @DistributedTransaction({ name: 'own' })
  async rollsBackItself(): Promise<void> {
    await this.transactions.current()!.rollback();
  }

  @DistributedTransaction({ name: 'outer' })
  async rollsBackAnother(): Promise<void> {
    await this.transactions.begin({ name: 'inner' }).rollback();
  }

  @OnTransaction('aborted')
  @DistributedTransaction({ name: 'reaction' })
  async hears({ name }: TransactionAbortedEvent): Promise<void> {
    this.heard.push(`hears ${name} within ${this.transactions.current()?.name}`);
  }

  @DistributedTransaction({ name: 'reaction' })
  @OnTransaction('aborted')
  async hearsToo({ name }: TransactionAbortedEvent): Promise<void> {
    this.heard.push(`hearsToo ${name} within ${this.transactions.current()?.name}`);
  }

  @Cron('0 0 1 1 *', { name: 'below' })
  @DistributedTransaction()
  async yearly(): Promise<void> {}

  @DistributedTransaction()
  @Cron('0 0 1 1 *', { name: 'above' })
  async annually(_first: number, _second: number): Promise<void> {}
}

describe('Beside other decorators, above them and below', () => {
  let app: NestFastifyApplication;

  beforeEach(async () => {
    const module = await Test.createTestingModule({
      imports: [EventEmitterModule.forRoot(), ScheduleModule.forRoot(), CoordinatorModule.forRoot()],
      controllers: [Shop, OrdersController],
      providers: [InventoryParticipant, Stock, Invoices, Checkout],
    })
      .setLogger(new LogRecorder())
      .compile();
    app = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
    await app.init();
  });
  afterEach(() => app.close());

  it('routes, parameters and guards work', async () => {
    for (const way of ['below', 'above']) {
      const answer = await app.inject(`/shop/${way}/7`);
      expect(answer.json()).toEqual({ id: '7', within: `Shop.${way}` });
    }
    expect((await app.inject('/shop/forbidden')).statusCode).toBe(403);
  });

  it('the interface is described', () => {
    const { paths } = SwaggerModule.createDocument(app, new DocumentBuilder().build());

    expect(paths['/shop/below/{id}']!.get).toMatchObject({ summary: 'below', parameters: [{ name: 'id' }] });
    expect(paths['/shop/above/{id}']!.get).toMatchObject({ summary: 'above', parameters: [{ name: 'id' }] });
  });

  it('listeners and schedules are found', async () => {
    await app.get(TransactionManager).begin({ name: 'event' }).rollback();
    await settled();

    expect(app.get(Shop).heard).toEqual(['hears event within reaction', 'hearsToo event within reaction']);
    const jobs = app.get(Shop).schedule.getCronJobs();
    expect([...jobs.keys()].toSorted()).toEqual(['above', 'below']);
  });

  it('listeners run outside of the transaction in whose code an event happens', async () => {
    const shop = app.get(Shop);
    await expect(shop.rollsBackItself()).rejects.toThrow('the caller asked for rollback');
    await shop.rollsBackAnother();
    await settled();

    const reactions = (name: string): string[] =>
      ['hears', 'hearsToo'].map((heard) => `${heard} ${name} within reaction`);
    expect(shop.heard).toEqual([...reactions('own'), ...reactions('inner')]);
  });

  it('the method keeps its name, its length and the types that the compiler has emitted', () => {
    const annually = Object.getOwnPropertyDescriptor(Shop.prototype, 'annually')!.value as Shop['annually'];

    expect([annually.name, annually.length]).toEqual(['annually', 2]);
    expect(Reflect.getMetadata('design:returntype', Shop.prototype, 'annually')).toBe(Promise);
  });

  it('an uncommitted transaction is answered as a problem, which contains no reason except a refusal', async () => {
    app.get(ParticipantRegistry).register(new ScriptedParticipant(), { name: 'payment' });
    const problem = { transactionId: expect.any(String) as string, title: expect.any(String) as string };

    const refused = await app.inject({ method: 'POST', url: '/orders/9' });
    expect([refused.statusCode, refused.json()]).toMatchObject([
      409,
      { ...problem, code: 'DTC_REFUSED', participant: 'inventory' },
    ]);
    const doomed = await app.inject('/shop/doomed');
    expect([doomed.statusCode, doomed.json()]).toMatchObject([
      503,
      { ...problem, code: 'DTC_ABORTED', detail: 'Nothing was changed. It is safe to try again.' },
    ]);
    expect(doomed.headers).toMatchObject({ 'retry-after': '1' });
    expect((await app.inject({ method: 'POST', url: '/orders/1' })).json()).toEqual({ id: 'o-1' });
  });

  it('a possible commit is not an error', async () => {
    @Controller('pending')
    @UseFilters(ProblemFilter)
    class Pending {
      @Get()
      get(): void {
        const reason = 'commit is decided';
        throw new NotCommittedError({ status: 'pending', transactionId: 't-1', decision: 'commit', reason });
      }
    }
    const module = await Test.createTestingModule({ controllers: [Pending] }).compile();
    const other = module.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
    await other.init();

    const { statusCode, payload } = await other.inject('/pending');

    expect(statusCode).toBe(202);
    expect(JSON.parse(payload)).toMatchObject({ code: 'DTC_NOT_COMMITTED', transactionId: 't-1' });
    await other.close();
  });
});

describe('The guide to using transactions', () => {
  const read = (path: string): string => readFileSync(join(import.meta.dirname, path), 'utf8');
  const bare = (code: string): string => code.replaceAll(/^export class/gm, 'class').replaceAll(/\s+/g, '');
  const here = [
    'declarative.spec.ts',
    'declarative-keys.spec.ts',
    'branch-events.spec.ts',
    'http-errors.spec.ts',
  ].map((file) => bare(read(file)));
  const guide = read('../../docs/using.md');
  const blocks = Array.from(guide.matchAll(/^```ts\n(.*?)^```$/gms), ([, code]) => code!);

  it('shows the three ways', () => {
    expect(blocks.length).toBeGreaterThan(4);
  });

  // The guide imports by the name of the package, and exports; here neither is needed.
  const shown = blocks.map((code) => code.replaceAll(/^import .*\n/gm, ''));

  it.each(shown.map((code) => [code.split('\n').find((line) => line !== '')!, code]))(
    'shows code that is compiled and run here: %s',
    (_first, code) => {
      expect(here.filter((source) => source.includes(bare(code)))).toHaveLength(1);
    },
  );

  it('runs: each way ends alike', async () => {
    const checkout = application.get(Checkout);

    await expect(checkout.placeAtOnce(ORDER)).resolves.toBe('committed');
    await expect(checkout.placeStepByStep(ORDER)).resolves.toBe('committed');
    expect(application.get(InventoryParticipant).taken).toEqual(['lamp', 'lamp']);
  });

  it('runs a request with a key once', async () => {
    const transactions = application.get(TransactionManager);
    const request = { branches: [branch('payment', { amount: 10 })] };

    const first = await runOnce(transactions, request, 'request-1', 'ten');
    const second = await runOnce(transactions, request, 'request-1', 'ten');

    expect(first.status).toBe('committed');
    expect(second).toMatchObject({ transactionId: first.transactionId, status: 'committed', repeated: true });
  });
});

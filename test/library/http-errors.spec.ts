import {
  type ArgumentsHost,
  ConflictException,
  Controller,
  Get,
  type INestApplication,
  Injectable,
  Module,
  Param,
  Post,
  ServiceUnavailableException,
} from '@nestjs/common';
import { APP_FILTER, HttpAdapterHost } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import request, { type Response } from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CoordinatorRefusedError,
  CoordinatorUnreachableError,
  RequestOutcomeUnknownError,
} from '../../src/client/index.js';
import {
  CoordinatorModule,
  DistributedTransaction,
  NotCommittedError,
  OperatorActions,
  type Outcome,
  ParticipantRegistry,
  RepeatedCallError,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { type Behaviour, ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { ProblemFilter, TransactionProblemFilter, problemOf } from '../../src/operations/problem/index.js';
import { ScriptedLog } from '../faults/scripted-log.js';
import { LogRecorder } from './support/log-recorder.js';
import { PLATFORMS, initialiseHttp } from './support/platforms.js';

/** A text that must reach no client. */
const SECRET = 'could not open /var/lib/orders.db at 10.1.2.3';

/** What a service gets whose coordinator is in another process, and what its own client is told. */
const ELSEWHERE: readonly (readonly [Error, number, object])[] = [
  [new CoordinatorRefusedError('DTC_KEY_REUSED', 409, 'the key'), 409, { code: 'DTC_KEY_REUSED' }],
  [new CoordinatorRefusedError('DTC_NOT_ACTIVE', 409, 'it is over'), 409, { code: 'DTC_NOT_ACTIVE' }],
  [new CoordinatorRefusedError('DTC_OVERLOADED', 503, 'full', 2_400), 503, { code: 'DTC_OVERLOADED' }],
  [new CoordinatorRefusedError('DTC_OF_LATER', 503, 'of a later version'), 503, { code: 'DTC_OF_LATER' }],
  [new CoordinatorRefusedError('DTC_OF_LATER', 409, 'of a later version'), 409, { code: 'DTC_OF_LATER' }],
  [
    new CoordinatorRefusedError('DTC_OUTCOME_UNKNOWN', 503, 'no branch'),
    503,
    { code: 'DTC_OUTCOME_UNKNOWN' },
  ],
  // The fault of this service is told to no client.
  [new CoordinatorRefusedError('DTC_BODY_TOO_LARGE', 413, SECRET), 500, { code: 'DTC_INTERNAL' }],
  [new CoordinatorRefusedError('DTC_UNAUTHENTICATED', 401, SECRET), 500, { code: 'DTC_INTERNAL' }],
  [new CoordinatorUnreachableError('refused'), 503, { code: 'DTC_COORDINATOR_UNREACHABLE' }],
  [new RequestOutcomeUnknownError('key-1', 'cut'), 202, { code: 'DTC_OUTCOME_UNKNOWN' }],
  [
    new RepeatedCallError('Shop.place', { status: 'committed', transactionId: 'c.a.1.1' }),
    202,
    { code: 'DTC_REPEATED', transactionId: 'c.a.1.1' },
  ],
];

@Injectable()
class Checkout {
  constructor(private readonly transactions: TransactionManager) {}

  @DistributedTransaction()
  async place(participant: string): Promise<string> {
    this.transactions.enlist(branch(participant, 1));
    return 'placed';
  }

  @DistributedTransaction({ propagation: 'mandatory' })
  async reserve(): Promise<void> {}
}

@Injectable()
class Payments {
  constructor(private readonly transactions: TransactionManager) {}

  async pay(amount: number): Promise<string> {
    const outcome = await this.transactions.run({ branches: [branch('payment', { amount })] });
    if (outcome.status !== 'committed') throw new NotCommittedError(outcome);
    return outcome.transactionId;
  }
}

/** What a user writes: nothing here knows of HTTP statuses. */
@Controller()
class OrdersController {
  constructor(
    private readonly checkout: Checkout,
    private readonly transactions: TransactionManager,
    private readonly payments: Payments,
  ) {}

  @Post('payments')
  async pay(): Promise<{ id: string }> {
    return { id: await this.payments.pay(1) };
  }

  @Post('orders/:participant')
  async place(@Param('participant') participant: string): Promise<{ answer: string }> {
    return { answer: await this.checkout.place(participant) };
  }

  @Post('runs/:participant')
  run(@Param('participant') participant: string): Promise<Outcome> {
    return this.transactions.run({ branches: [branch(participant, 1)] });
  }

  @Post('reservations')
  reserve(): Promise<void> {
    return this.checkout.reserve();
  }

  @Get('own-error')
  ownError(): never {
    throw new ConflictException({ reason: 'sold', by: 'the application' });
  }

  @Get('elsewhere/:index')
  elsewhere(@Param('index') index: string): never {
    throw ELSEWHERE[Number(index)]![0];
  }

  @Get('closed')
  closed(): never {
    throw new ServiceUnavailableException(SECRET);
  }

  @Get('defect')
  defect(): never {
    throw new Error(SECRET);
  }
}

@Module({
  imports: [CoordinatorModule.forRoot()],
  providers: [{ provide: APP_FILTER, useClass: TransactionProblemFilter }],
})
class ShopModule {}

const SCRIPTS: Readonly<Record<string, Behaviour>> = {
  willing: 'yes',
  refusing: { refuse: 'OUT_OF_STOCK', reason: 'only 3 are left' },
  busy: { refuse: 'LOCK_TIMEOUT', reason: 'a lock was not free', conflict: true },
  'full-disk': { answer: { vote: 'abort', code: 'DISK_FULL', reason: 'the disk is full', temporary: true } },
  'work-failed': { answer: { vote: 'abort', code: 'WORK_FAILED', reason: SECRET } },
  'not-admitted': { answer: { vote: 'abort', code: 'DTC_LOG_COPIED', reason: SECRET } },
};

async function start(
  create: (typeof PLATFORMS)[number][1],
  filter: typeof ProblemFilter,
  log = new ScriptedLog(),
  logger = new LogRecorder(),
): Promise<INestApplication> {
  const module = await Test.createTestingModule({
    imports: [
      CoordinatorModule.forRoot({
        name: 'shop',
        log,
        timeoutMs: 500,
        completionWaitMs: 20,
        shutdownGraceMs: 50,
      }),
    ],
    controllers: [OrdersController],
    providers: [Checkout, Payments, { provide: APP_FILTER, useClass: filter }],
  })
    .setLogger(logger)
    .compile();
  const app = create(module);
  await initialiseHttp(app);
  const registry = app.get(ParticipantRegistry);
  for (const [name, prepare] of Object.entries(SCRIPTS)) {
    registry.register(new ScriptedParticipant({ prepare, commitOnePhase: prepare }), { name });
  }
  return app;
}

describe.each(PLATFORMS)('In an application of a user on %s', (_, create) => {
  const logger = new LogRecorder();
  let app: INestApplication;

  beforeAll(async () => {
    app = await start(create, TransactionProblemFilter, new ScriptedLog(), logger);
  });
  afterAll(() => app.close());

  const post = (path: string): request.Test => request(app.getHttpServer() as string).post(path);
  const get = (path: string): Promise<Response> => request(app.getHttpServer() as string).get(path);

  it('a decorated method that commits returns its value', async () => {
    expect((await post('/orders/willing')).body).toEqual({ answer: 'placed' });
  });

  it('a refusal is 409, with its code and its reason', async () => {
    const { status, headers, body } = await post('/orders/refusing');

    expect([status, headers['retry-after']]).toEqual([409, undefined]);
    expect(headers['content-type']).toBe('application/problem+json; charset=utf-8');
    expect(body).toMatchObject({
      status: 409,
      code: 'DTC_REFUSED',
      reasonCode: 'OUT_OF_STOCK',
      participant: 'refusing',
      detail: 'Nothing was changed: only 3 are left.',
    });
  });

  it.each(['busy', 'full-disk'])('a refusal that is temporary is 503, with Retry-After: %s', async (name) => {
    const { status, headers, body } = await post(`/orders/${name}`);

    expect([status, headers['retry-after']]).toEqual([503, '1']);
    expect(body).toMatchObject({ code: 'DTC_ABORTED', participant: name });
  });

  it.each(['work-failed', 'not-admitted'])(
    'a participant that could not work is answered with 503, without its error: %s',
    async (name) => {
      const { status, headers, text } = await post(`/orders/${name}`);

      expect([status, headers['retry-after']]).toEqual([503, '1']);
      expect(text).not.toContain('10.1.2.3');
      expect(JSON.parse(text)).toMatchObject({ code: 'DTC_PARTICIPANT_FAILED', participant: name });
    },
  );

  it.each(['/orders/unknown', '/runs/unknown'])(
    'a participant that is not there is 503: %s',
    async (path) => {
      const { status, body } = await post(path);

      expect([status, (body as { code: string }).code]).toEqual([503, 'DTC_UNKNOWN_PARTICIPANT']);
    },
  );

  it('a participant that an operator has paused is 503', async () => {
    const actions = app.get(OperatorActions);
    await actions.pause('willing', { by: 'alice', reason: 'repair' });
    try {
      const { status, headers, body } = await post('/orders/willing');
      expect([status, headers['retry-after']]).toEqual([503, '1']);
      expect(body).toMatchObject({ code: 'DTC_PARTICIPANT_PAUSED' });
    } finally {
      await actions.resume('willing', { by: 'alice', reason: 'done' });
    }
  });

  it('a coordinator that takes no transactions is 503', async () => {
    const actions = app.get(OperatorActions);
    await actions.drain({ by: 'alice', reason: 'maintenance' });
    try {
      const { status, headers, body } = await post('/orders/willing');
      expect([status, headers['retry-after']]).toEqual([503, '1']);
      expect(body).toMatchObject({ code: 'DTC_DRAINING' });
    } finally {
      await actions.undrain({ by: 'alice', reason: 'done' });
    }
  });

  it('an outcome that the program throws by itself is answered as one of a decorated method', async () => {
    app
      .get(ParticipantRegistry)
      .register(new ScriptedParticipant({ prepare: 'no', commitOnePhase: 'no' }), { name: 'payment' });
    const { status, body } = await post('/payments');
    expect([status, body]).toMatchObject([409, { code: 'DTC_REFUSED', participant: 'payment' }]);
  });

  it('a mistake in the program is 500, and is logged', async () => {
    const { status, text } = await post('/reservations').set('X-Request-Id', 'r-1');

    expect([status, (JSON.parse(text) as { code: string }).code]).toEqual([500, 'DTC_INTERNAL']);
    expect(text).not.toContain('mandatory');
    expect(logger.of('ProblemFilter', 'error')[0]?.message).toMatchObject({
      msg: expect.stringContaining('Checkout.reserve needs an ambient transaction') as unknown,
      stack: expect.stringContaining('    at ') as unknown,
      requestId: 'r-1',
    });
  });

  it.each(ELSEWHERE.map(([error, status], index) => ({ error: String(error).slice(0, 60), status, index })))(
    'what a coordinator elsewhere says is answered by its meaning: $error, $status',
    async ({ status, index }) => {
      const answer = await get(`/elsewhere/${index}`);
      expect([answer.status, answer.body]).toMatchObject([status, { status, ...ELSEWHERE[index]![2] }]);
      expect(answer.headers['content-type']).toBe('application/problem+json; charset=utf-8');
      expect(answer.text).not.toContain('10.1.2.3');
      expect(answer.headers['retry-after'] !== undefined).toBe(status === 503);
    },
  );

  it("the application's own errors are answered as they were before", async () => {
    const own = await get('/own-error');
    expect([own.status, own.body]).toEqual([409, { reason: 'sold', by: 'the application' }]);
    const missing = await get('/nowhere');
    expect([missing.status, missing.body]).toMatchObject([404, { message: 'Cannot GET /nowhere' }]);
    expect((await get('/defect')).status).toBe(500);
  });
});

describe.each(PLATFORMS)('A commit whose outcome is open, on %s,', (_, create) => {
  it('is 202, with the id of the transaction', async () => {
    const app = await start(create, TransactionProblemFilter);
    try {
      app.get(ParticipantRegistry).register(new ScriptedParticipant({ commit: 'hang' }), { name: 'slow' });
      const { status, body } = await request(app.getHttpServer() as string).post('/orders/slow');

      expect([status, body]).toMatchObject([202, { code: 'DTC_NOT_COMMITTED', status: 202 }]);
      const { transactionId } = body as { transactionId: string };
      expect(app.get(TransactionManager).find(transactionId)).toMatchObject({ state: 'COMMITTING' });
    } finally {
      await app.close();
    }
  });

  it.each([
    ['the decision cannot be looked up', () => Promise.reject(new Error(SECRET)), 202],
    ['the decision is proven not to be in the log', () => Promise.resolve('absent' as const), 503],
  ])('shows no text of the log when %s', async (_description, lookUp, expected) => {
    const log = new ScriptedLog({ append: () => Promise.reject(new Error(SECRET)), lookUp });
    const app = await start(create, TransactionProblemFilter, log);
    try {
      app.get(ParticipantRegistry).register(new ScriptedParticipant(), { name: 'two-phase' });
      const { status, text } = await request(app.getHttpServer() as string).post('/orders/two-phase');

      expect(status).toBe(expected);
      expect(text).not.toContain('10.1.2.3');
    } finally {
      await app.close();
    }
  });
});

it('The filter that the guide shows answers for every module of the application', async () => {
  const module = await Test.createTestingModule({
    imports: [ShopModule],
    controllers: [OrdersController],
    providers: [Checkout, Payments],
  })
    .setLogger(new LogRecorder())
    .compile();
  const app = module.createNestApplication();
  await initialiseHttp(app);
  try {
    const { status } = await request(app.getHttpServer() as string).post('/orders/unknown');
    expect(status).toBe(503);
  } finally {
    await app.close();
  }
});

describe.each(PLATFORMS)('ProblemFilter on %s', (_, create) => {
  it('answers every error of the application as a problem', async () => {
    const logger = new LogRecorder();
    const app = await start(create, ProblemFilter, new ScriptedLog(), logger);
    try {
      const server = app.getHttpServer() as string;
      const own = await request(server).get('/own-error');
      expect([own.status, own.headers['content-type']]).toEqual([
        409,
        'application/problem+json; charset=utf-8',
      ]);
      const defect = await request(server).get('/defect');
      expect([defect.status, (defect.body as { code: string }).code]).toEqual([500, 'DTC_INTERNAL']);
      expect(defect.text).not.toContain('10.1.2.3');
      expect((await request(server).post('/orders/refusing')).status).toBe(409);
      const closed = await request(server).get('/closed');
      expect([closed.status, closed.headers['retry-after']]).toEqual([503, '1']);
      expect(closed.text).not.toContain('10.1.2.3');
      expect(logger.of('ProblemFilter', 'error').at(-1)?.text).toContain(SECRET);
    } finally {
      await app.close();
    }
  });

  it('throws an error on outside of HTTP', () => {
    const filter = new ProblemFilter(new HttpAdapterHost());
    const error = new Error('of a message');

    expect(() => filter.catch(error, { getType: () => 'rpc' } as unknown as ArgumentsHost)).toThrow(error);
  });
});

describe('The refusal of a coordinator elsewhere', () => {
  it.each([
    ['DTC_OVERLOADED', 503],
    ['DTC_KEY_REUSED', 409],
  ])('%s is answered with %i', (code, status) => {
    expect(problemOf(new CoordinatorRefusedError(code, status, 'no'))).toMatchObject({ status, code });
  });

  it.each([
    ['DTC_UNAUTHENTICATED', 401],
    ['DTC_FORBIDDEN', 403],
  ])('%s is 500: the client of the service has sent no wrong credential', (code, status) => {
    const problem = problemOf(new CoordinatorRefusedError(code, status, SECRET));
    expect(problem).toMatchObject({ status: 500, code: 'DTC_INTERNAL' });
    expect(problem.detail).not.toContain(SECRET);
  });
});

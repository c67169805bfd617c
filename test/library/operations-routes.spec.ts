import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CallHandler,
  type CanActivate,
  Controller,
  type DynamicModule,
  type ExecutionContext,
  Get,
  Global,
  type INestApplication,
  Injectable,
  Module,
  type NestInterceptor,
  type PipeTransform,
  SetMetadata,
  UnauthorizedException,
  UseGuards,
  UseInterceptors,
  VersioningType,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, APP_INTERCEPTOR, APP_PIPE, Reflector } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import { type Observable, map } from 'rxjs';
import request, { type Response, type Test as Asked } from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CoordinatorModule,
  LogBrokenError,
  OperatorActions,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../../src/coordinator/index.js';
import { ScriptedParticipant } from '../../src/coordinator/testing/index.js';
import { DASHBOARD_FOLDER } from '../../src/operations/dashboard.controller.js';
import { type AdmittedCaller, type Authorize, OperationsModule } from '../../src/operations/index.js';
import { ScriptedLog } from '../faults/scripted-log.js';
import { LogRecorder } from './support/log-recorder.js';
import { PLATFORMS, type Platform, initialiseHttp } from './support/platforms.js';

const IS_PUBLIC = 'isPublic';
const Public = (): ClassDecorator => SetMetadata(IS_PUBLIC, true);

const READER = { name: 'prometheus', token: 'the-token-of-prometheus' };
const OPERATOR = { name: 'alice', token: 'the-token-of-alice' };

/** Who is signed in, by the headers of the request: the application's own users. */
@Injectable()
class Users {
  callerOf({ headers }: { headers: Record<string, string | undefined> }): AdmittedCaller | undefined {
    const name = headers['x-user'];
    if (name === undefined) throw new UnauthorizedException('Sign in first.');
    if (name === 'stranger') return undefined;
    return { name, role: name === 'admin' ? 'operator' : 'reader' };
  }
}

@Module({ providers: [Users], exports: [Users] })
class UsersModule {}

/** As in the documentation of Nest: a global guard, and a decorator by which routes pass. */
@Injectable()
class SignedIn implements CanActivate {
  constructor(private readonly reflector: Reflector) {}

  canActivate(context: ExecutionContext): boolean {
    const targets = [context.getHandler(), context.getClass()];
    if (this.reflector.getAllAndOverride<boolean | undefined>(IS_PUBLIC, targets) === true) return true;
    return context.switchToHttp().getRequest<{ headers: object }>().headers['x-user' as never] !== undefined;
  }
}

@Injectable()
class Envelope implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ data })));
  }
}

/** It copies each object, and trims each text. */
class Copying implements PipeTransform {
  transform(value: unknown): unknown {
    if (typeof value === 'string') return value.trim();
    return typeof value === 'object' && value !== null ? { ...value } : value;
  }
}

class OwnErrors {
  catch(
    _error: unknown,
    host: { switchToHttp(): { getResponse(): { status(code: number): { send(body: object): void } } } },
  ): void {
    host.switchToHttp().getResponse().status(418).send({ error: 'of the application' });
  }
}

@Controller('own')
class OwnController {
  @Get()
  own(): string {
    return 'own';
  }
}

interface Checked {
  readonly decorators: readonly ClassDecorator[];
  readonly authorize: Authorize;
}

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'dashboard-'));
  await writeFile(join(folder, 'index.html'), '<title>Dashboard</title>');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function start(
  create: Platform,
  operations: DynamicModule,
  isGuarded: boolean,
  hasOwnErrors = true,
): Promise<INestApplication> {
  @Global()
  @Module({ providers: [{ provide: DASHBOARD_FOLDER, useValue: folder }], exports: [DASHBOARD_FOLDER] })
  class Built {}
  const module = await Test.createTestingModule({
    imports: [Built, CoordinatorModule.forRoot({ shutdownGraceMs: 50 }), operations],
    controllers: [OwnController],
    providers: [
      ...(isGuarded ? [{ provide: APP_GUARD, useClass: SignedIn }] : []),
      { provide: APP_INTERCEPTOR, useClass: Envelope },
      { provide: APP_PIPE, useClass: Copying },
      ...(hasOwnErrors ? [{ provide: APP_FILTER, useClass: OwnErrors }] : []),
    ],
  })
    .setLogger(new LogRecorder())
    .compile();
  const app = create(module);
  app.setGlobalPrefix('api');
  app.enableVersioning({ type: VersioningType.URI, defaultVersion: '1' });
  await app.listen(0, '127.0.0.1');
  app.get(ParticipantRegistry).register(new ScriptedParticipant(), { name: 'shop' });
  return app;
}

describe.each(PLATFORMS)(
  'Under a guard, an interceptor, a pipe, a filter, a prefix and versions of the application, on %s,',
  (_, create) => {
    let app: INestApplication;

    beforeAll(async () => {
      const options = { readers: [READER], operators: [OPERATOR], prefix: '/admin/', decorators: [Public()] };
      app = await start(create, OperationsModule.forRoot(options), true);
    });
    afterAll(() => app.close());

    const ask = (path: string, { token }: { token?: string } = {}): Asked => {
      const asked = request(app.getHttpServer() as string).get(path);
      return token === undefined ? asked : asked.set('Authorization', `Bearer ${token}`);
    };

    it('the routes of the application are guarded and wrapped', async () => {
      expect((await ask('/api/v1/own')).body).toEqual({ error: 'of the application' });
      expect((await ask('/api/v1/own').set('x-user', 'anna')).body).toEqual({ data: 'own' });
    });

    it.each(['live', 'ready'])('health answers as it is: %s', async (name) => {
      const { status, body } = await ask(`/api/admin/health/${name}`);

      expect([status, body]).toMatchObject([
        200,
        { status: 'ok', details: { coordinator: { status: 'up' } } },
      ]);
    });

    it('health that is bad is 503 with its details, and no error of the application', async () => {
      const actions = app.get(OperatorActions);
      await actions.drain({ by: 'alice', reason: 'maintenance' });
      const { status, body } = await ask('/api/admin/health/ready');
      await actions.undrain({ by: 'alice', reason: 'done' });

      expect([status, body]).toMatchObject([
        503,
        { status: 'error', error: { coordinator: { status: 'down' } } },
      ]);
    });

    it('metrics are a text for Prometheus', async () => {
      const { status, text } = await ask('/api/admin/metrics', READER);

      expect(status).toBe(200);
      expect(text).toMatch(/^# HELP /);
    });

    it('the dashboard is a page, which finds its routes beside itself', async () => {
      const page = '/api/admin/dashboard';
      const { status, text, headers } = await ask(page);
      expect([status, text]).toEqual([200, '<title>Dashboard</title>']);
      expect(headers['content-type']).toBe('text/html; charset=utf-8');

      // As the page does it: relative to its own address.
      const base = new URL('.', `http://shop.example${page}`).pathname;
      expect(await ask(`${base}access`, OPERATOR).then(({ body }: Response) => body as object)).toEqual({
        name: 'alice',
        role: 'operator',
      });
      await app.get(TransactionManager).run({ name: 'sale', branches: [branch('shop', 1)] });
      const { body } = await ask(`${base}transactions?limit=1`, READER);
      expect(body).toMatchObject({ transactions: [{ name: 'sale', state: 'COMMITTED' }] });
    });

    it('events are sent as they are', async () => {
      const leaving = new AbortController();
      const { headers, body } = await fetch(`${await app.getUrl()}/api/admin/events`, {
        headers: { authorization: `Bearer ${READER.token}` },
        signal: leaving.signal,
      });
      const { value } = await body!.getReader().read();
      leaving.abort();

      expect(headers.get('content-type')).toBe('text/event-stream');
      expect(new TextDecoder().decode(value)).toMatch(/^event: overview\ndata: \{"at":/);
    });

    it('an operator acts, and the routes answer their refusals themselves', async () => {
      const act = request(app.getHttpServer() as string).post('/api/admin/participants/shop/pause');
      const paused = await act.set('Authorization', `Bearer ${OPERATOR.token}`).send({ reason: ' repair ' });
      expect([paused.status, paused.body]).toMatchObject([
        200,
        { name: 'shop', paused: { by: 'alice', reason: 'repair' } },
      ]);

      const refused = await ask('/api/admin/transactions');
      expect([refused.status, (refused.body as { code: string }).code]).toEqual([401, 'DTC_UNAUTHENTICATED']);
      const missing = await ask('/api/admin/transactions/x.1.1', READER);
      expect([missing.status, (missing.body as { code: string }).code]).toEqual([
        404,
        'DTC_TRANSACTION_NOT_FOUND',
      ]);
    });
  },
);

describe.each(PLATFORMS)('With a check of the application, on %s,', (_, create) => {
  let app: INestApplication;

  beforeAll(async () => {
    const operations = OperationsModule.forRootAsync({
      imports: [UsersModule],
      inject: [Users],
      useFactory: async (users: Users) => ({
        authorize: (context) => users.callerOf(context.switchToHttp().getRequest()),
      }),
      prefix: 'admin',
    });
    app = await start(create, operations, false);
  });
  afterAll(() => app.close());

  const as = (method: 'get' | 'post', path: string, user?: string): Asked => {
    const asked = request(app.getHttpServer() as string)[method](`/api/admin${path}`);
    return user === undefined ? asked : asked.set('x-user', user);
  };

  it('lets only accepted callers read', async () => {
    expect((await as('get', '/participants', 'anna')).status).toBe(200);
    expect((await as('get', '/access', 'anna')).body).toEqual({ name: 'anna', role: 'reader' });
    expect((await as('get', '/participants', 'stranger')).status).toBe(403);
    const unknown = await as('get', '/participants');
    expect([unknown.status, (unknown.body as { detail: string }).detail]).toEqual([401, 'Sign in first.']);
    expect((await as('get', '/health/live')).status).toBe(200);
  });

  it('an operator acts by its name there, and a reader does not', async () => {
    const reason = { reason: 'repair' };
    expect((await as('post', '/participants/shop/pause', 'anna').send(reason)).status).toBe(403);
    expect((await as('post', '/participants/shop/pause', 'admin').send(reason)).status).toBe(200);
    expect((await as('get', '/audit', 'anna')).body).toMatchObject({
      entries: [{ by: 'admin', action: 'pause', target: 'shop' }],
    });
  });
});

describe('The answer of the check of an application', () => {
  let app: INestApplication;
  let answer: unknown;

  beforeAll(async () => {
    const authorize: Authorize = () => answer as undefined;
    app = await start(PLATFORMS[0]![1], OperationsModule.forRoot({ authorize }), false);
  });
  afterAll(() => app.close());

  it.each([
    false,
    true,
    null,
    undefined,
    0,
    'operator',
    {},
    [],
    { name: 'eve' },
    { name: 'eve', role: 'anyone' },
    { name: 'eve', role: 'admin' },
    { name: 'eve', role: 'Operator' },
    { name: 'eve', role: ['operator'] },
  ])('refuses with 403, to see and to act: %j', async (value) => {
    answer = value;
    const server = app.getHttpServer() as string;
    const seen = await request(server).get('/api/participants');
    const acted = await request(server).post('/api/participants/shop/pause').send({ reason: 'repair' });

    for (const { status, body } of [seen, acted]) {
      expect([status, (body as { code: string }).code]).toEqual([403, 'DTC_FORBIDDEN']);
    }
    answer = { name: 'anna', role: 'reader' };
    expect((await request(server).get('/api/audit')).body).toEqual({ entries: [], nextCursor: null });
  });

  it.each([undefined, null, '', 7])(
    'refuses an operator who has the name %j with 403, and says why',
    async (name) => {
      answer = { name, role: 'operator' };
      const server = app.getHttpServer() as string;
      const { status, body } = await request(server)
        .post('/api/participants/shop/pause')
        .send({ reason: 'repair' });

      expect([status, body]).toMatchObject([403, { code: 'DTC_FORBIDDEN' }]);
      expect((body as { detail: string }).detail).toMatch(
        /nothing was done\. The audit trail needs a name.*let it return \{ name, role \}/,
      );
      expect((await request(server).get('/api/audit')).body).toEqual({ entries: [], nextCursor: null });
    },
  );
});

describe('One module object of forRootAsync in two applications', () => {
  it('does not open the routes of the one whose guard is in authorize: the second start is refused', async () => {
    const answers: object[] = [
      { readers: 'anyone' },
      { authorize: () => ({ name: 'admin', role: 'operator' }) },
    ];
    const operations = OperationsModule.forRootAsync({
      decorators: [Public()],
      useFactory: () => answers.shift()!,
    });
    const first = await start(PLATFORMS[0]![1], operations, false);
    try {
      await expect(start(PLATFORMS[0]![1], operations, false)).rejects.toThrow(
        /one module object is used in two applications.*call forRootAsync\(\) once for each application/,
      );
    } finally {
      await first.close();
    }
  });
});

describe.each([
  ['forRoot', (options: Checked) => OperationsModule.forRoot(options)],
  [
    'forRootAsync',
    ({ decorators, authorize }: Checked) =>
      OperationsModule.forRootAsync({ decorators, useFactory: async () => ({ authorize }) }),
  ],
])('With %s, decorators, and a guard of the application inside of authorize,', (_, configure) => {
  let app: INestApplication;

  beforeAll(async () => {
    const guard = new SignedIn(new Reflector());
    const authorize: Authorize = (context) =>
      guard.canActivate(context) ? { name: 'admin', role: 'operator' } : undefined;
    app = await start(PLATFORMS[0]![1], configure({ decorators: [Public()], authorize }), true);
  });
  afterAll(() => app.close());

  it.each(['/participants', '/coordinator', '/transactions', '/audit', '/access', '/metrics', '/events'])(
    'a stranger does not see %s',
    async (path) => {
      const { status, body } = await fetch(`${await app.getUrl()}/api${path}`);
      await body?.cancel(); // The events would not end.
      expect(status).toBe(403); // The global guard refuses.
    },
  );

  it('a stranger does not act, and a caller that is signed in does', async () => {
    const act = (headers: Record<string, string>): Asked =>
      request(app.getHttpServer() as string)
        .post('/api/participants/shop/pause')
        .set(headers)
        .send({ reason: 'repair' });
    expect((await act({})).status).toBe(403);
    expect((await act({ 'x-user': 'admin' })).status).toBe(200);
  });

  it.each(['/health/live', '/health/ready', '/dashboard'])('%s answers every caller', async (path) => {
    expect((await request(app.getHttpServer() as string).get(`/api${path}`)).status).toBe(200);
  });
});

describe.each(PLATFORMS)('The action of an operator, on %s,', (_, create) => {
  let app: INestApplication;

  beforeAll(async () => {
    // As with a cookie: the browser sends it, on whichever page the form is.
    const authorize: Authorize = () => ({ name: 'admin', role: 'operator' });
    // Fastify itself refuses some types, and the filter of the application would answer for it.
    app = await start(create, OperationsModule.forRoot({ authorize }), false, false);
  });
  afterAll(() => app.close());

  const pause = (type: string, body: string): Asked =>
    request(app.getHttpServer() as string)
      .post('/api/participants/shop/pause')
      .set('Content-Type', type)
      .send(body);
  const isPaused = async (): Promise<boolean> => {
    const { body } = await request(app.getHttpServer() as string).get('/api/participants');
    return (body as { participants: [{ paused: unknown }] }).participants[0].paused !== null;
  };

  it.each([
    ['application/x-www-form-urlencoded', 'reason=repair'],
    ['text/plain', '{"reason":"repair"}'],
    ['text/plain; application/json', '{"reason":"repair"}'],
    ['multipart/form-data; boundary=x', '--x--'],
    ['application/json-patch+json', '{"reason":"repair"}'],
  ])('is refused with 415 as %s', async (type, body) => {
    const { status } = await pause(type, body);

    expect([status, await isPaused()]).toEqual([415, false]);
  });

  it('is refused with 415 without a body, and says how to send one', async () => {
    const { status, body } = await request(app.getHttpServer() as string).post(
      '/api/participants/shop/pause',
    );

    expect([status, body]).toMatchObject([
      415,
      {
        code: 'DTC_UNSUPPORTED_MEDIA_TYPE',
        detail: expect.stringContaining('Content-Type: application/json') as unknown,
      },
    ]);
  });

  it('is done with a body of JSON', async () => {
    const { status } = await pause('Application/JSON; charset=utf-8', '{"reason":"repair"}');

    expect([status, await isPaused()]).toEqual([200, true]);
  });
});

it('Health does not show the problem of a broken log, and GET /coordinator shows it to a reader', async () => {
  const problem = 'could not write /var/lib/dtc at 10.1.2.3';
  const log = new ScriptedLog({ append: () => Promise.reject(new LogBrokenError(problem)) });
  const module = await Test.createTestingModule({
    imports: [
      CoordinatorModule.forRoot({ name: 'shop', log, shutdownGraceMs: 50, completionWaitMs: 20 }),
      OperationsModule.forRoot({ readers: [READER] }),
    ],
  })
    .setLogger(new LogRecorder())
    .compile();
  const app = module.createNestApplication();
  await initialiseHttp(app);
  try {
    for (const name of ['shop', 'bank']) {
      app.get(ParticipantRegistry).register(new ScriptedParticipant(), { name });
    }
    await app.get(TransactionManager).run({ branches: [branch('shop', 1), branch('bank', 1)] });
    const server = app.getHttpServer() as string;

    for (const path of ['/health/live', '/health/ready']) {
      const { status, body, text } = await request(server).get(path);
      expect([path, status, body]).toMatchObject([
        path,
        503,
        { error: { coordinator: { status: 'down', restartNeeded: true } } },
      ]);
      expect(text).not.toContain('10.1.2.3');
      expect(text).not.toContain('logProblem');
    }
    const seen = await request(server).get('/coordinator').set('Authorization', `Bearer ${READER.token}`);
    expect(seen.body).toMatchObject({
      condition: { logProblem: expect.stringContaining(problem) as unknown },
    });
  } finally {
    await app.close();
  }
});

describe('OperationsModule', () => {
  it('takes no decorator that does more than set metadata', () => {
    for (const decorator of [UseGuards(SignedIn), UseInterceptors(Envelope)]) {
      expect(() => OperationsModule.forRoot({ decorators: [Public(), decorator] })).toThrow(
        /decorators: may only set metadata/,
      );
    }
  });

  it.each<[options: object, problem: string]>([
    [{ operator: [OPERATOR] }, 'operator: is not an option of who may see and act'],
    [{ decorators: Public() }, 'decorators: must be a list of decorators'],
    [{ decorators: [undefined] }, 'decorators: must be a list of decorators'],
  ])('forRoot refuses %j', (options, problem) => {
    expect(() => OperationsModule.forRoot(options)).toThrow(problem);
  });

  it('forRootAsync refuses tokens beside the factory', () => {
    const options = { operators: [OPERATOR], useFactory: () => ({}) };
    expect(() => OperationsModule.forRootAsync(options)).toThrow(
      'operators: is not an option of forRootAsync',
    );
  });

  it.each([undefined, { prefix: 'admin' }])('does not start when the factory returns %j', async (access) => {
    const operations = OperationsModule.forRootAsync({ useFactory: () => access as object });

    await expect(
      Test.createTestingModule({ imports: [CoordinatorModule.forRoot(), operations] })
        .setLogger(new LogRecorder())
        .compile(),
    ).rejects.toMatchObject({ code: 'DTC_INVALID_OPTIONS' });
  });

  it('gives its routes the decorators where a factory knows tokens', async () => {
    const useFactory = () => ({ readers: [READER] });
    const operations = OperationsModule.forRootAsync({ decorators: [Public()], useFactory });
    const app = await start(PLATFORMS[0]![1], operations, true);
    const asked = request(app.getHttpServer() as string).get('/api/participants');
    const { status } = await asked.set('Authorization', `Bearer ${READER.token}`);
    await app.close();

    expect(status).toBe(200);
  });

  it.each(['a b', '/:id', '*', 'a//b', 'a?b'])('accepts no prefix that is not a path: %s', (prefix) => {
    expect(() => OperationsModule.forRoot({ prefix })).toThrow(
      expect.objectContaining({ code: 'DTC_INVALID_OPTIONS' }) as Error,
    );
  });

  it.each([
    ['warns of a global guard that no route of it is known to pass', [], 1],
    ['is content where its routes have a decorator', [Public()], 0],
  ])('%s', async (_, decorators, expected) => {
    const log = new LogRecorder();
    const module = await Test.createTestingModule({
      imports: [CoordinatorModule.forRoot(), OperationsModule.forRoot({ operators: [OPERATOR], decorators })],
      providers: [{ provide: APP_GUARD, useClass: SignedIn }],
    })
      .setLogger(log)
      .compile();
    const app = module.createNestApplication();
    await app.init();
    await app.close();

    const warnings = log.of('OperationsModule', 'warn').map(({ text }) => text);
    expect(warnings).toEqual(
      Array.from({ length: expected }, () => expect.stringContaining('decorators: [Public()]') as unknown),
    );
  });

  it('does not start when the factory knows no token', async () => {
    const operations = OperationsModule.forRootAsync({
      useFactory: () => ({ operators: [{ name: 'alice', token: undefined as unknown as string }] }),
    });

    await expect(
      Test.createTestingModule({ imports: [CoordinatorModule.forRoot(), operations] })
        .setLogger(new LogRecorder())
        .compile(),
    ).rejects.toThrow(
      'operators[0].token: is missing: set the variable or the secret that holds the token of "alice"',
    );
  });
});

import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Module } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CoordinatorModule, OperatorActions } from '../../src/coordinator/index.js';
import { RestAtModule, type RestAtOptions } from '../../src/rest-at/index.js';
import { RestAtClient } from './client.js';
import { type RunningCoordinator, startModule } from './coordinators.js';
import { ParticipantServer, says } from './participants.js';

const SHOP = { name: 'shop', token: 'the-token-of-the-shop' };
const DESK = { name: 'desk', token: 'the-token-of-the-desk' };

const page = readFileSync(join(import.meta.dirname, '../../docs/rest-at.md'), 'utf8');
const [, session = '', answers = ''] =
  /<!-- rest-at session -->\s+```sh\n([^`]+)```[^`]*<!-- answers -->\s+```\n([^`]+)```/.exec(page) ?? [];

const hasCurl = spawnSync('curl', ['--version']).status === 0;
if (!hasCurl) console.warn('Left out, since curl is not installed: the session of docs/rest-at.md.');

describe('RestAtModule', () => {
  let callers: readonly (typeof SHOP)[] = [SHOP];
  let participants: ParticipantServer;
  let coordinator: RunningCoordinator;

  beforeAll(async () => {
    participants = await ParticipantServer.start();
    coordinator = await startModule({ callers: () => callers, allow: [participants.origin] });
  });
  afterAll(async () => {
    await coordinator.close();
    await participants.close();
  });

  it('asks every request for a token, which can be rotated', async () => {
    const { base } = coordinator.client;
    const code = async (token: string, path = '/transaction-manager'): Promise<number> =>
      (await new RestAtClient(base, { authorization: `Bearer ${token}` }).send('GET', base + path)).code;
    const refused = await coordinator.client.send('POST', `${base}/transaction-manager`);
    expect([refused.code, refused.headers.get('www-authenticate'), refused.type]).toEqual([
      401,
      'Bearer',
      'application/problem+json; charset=utf-8',
    ]);
    expect(await code(SHOP.token)).toBe(200);
    expect([await code(DESK.token), await code(DESK.token, '/recovery-coordinator/x/y')]).toEqual([401, 401]);
    callers = [DESK];
    expect([await code(SHOP.token), await code(DESK.token)]).toEqual([401, 200]);
    // A list that cannot be used leaves the one before in force.
    callers = [{ name: 'short', token: 'short' }];
    expect([await code(DESK.token), await code('short')]).toEqual([200, 401]);
    callers = [SHOP];
  });

  it('answers hostile requests with a refusal, and changes nothing', async () => {
    const { base } = coordinator.client;
    const client = new RestAtClient(base, { authorization: `Bearer ${SHOP.token}` });
    const begun = await client.begin();
    const { url } = participants.add();
    const links = [
      '<',
      '<>; rel="participant"',
      `<${url},x>; rel="participant", <${url}>; rel="terminator"`,
      `<${url}>; rel="participant", <${url}/1>; rel="terminator", <${url}/2>; rel="terminator"`,
      `<${url}/${'x'.repeat(1_100)}>; rel="participant", <${url}>; rel="terminator"`,
      Array.from({ length: 17 }, () => `<${url}>; rel="participant"`).join(', '),
      `${' '.repeat(4_000)}<${url}`,
    ];
    for (const link of links) expect((await client.send('POST', begun.durable, { link })).code).toBe(400);
    const paths = [
      '',
      '/x',
      '/a/b/c',
      '/transaction-manager/a/b',
      '/recovery-coordinator',
      '/transaction-manager/%00',
    ];
    for (const path of paths) expect((await client.send('GET', base + path)).code).toBe(404);
    expect((await client.send('GET', `${base}/a"b/transaction-manager`)).code).toBe(404);
    expect((await client.send('PATCH', begun.url)).code).toBe(405);
    expect((await client.send('PUT', `${base}/transaction-manager`)).code).toBe(405);
    expect(await client.status(begun)).toBe('200 txstatus=TransactionActive');
    expect((await client.commit(begun)).text).toBe('txstatus=TransactionCommitted');
  });

  it('takes a limited number of volatile participants, and enlists none when there is one too many', async () => {
    const few = await startModule({ allow: [participants.origin], callers: [SHOP], maxVolatile: 1 });
    const client = new RestAtClient(few.client.base, { authorization: `Bearer ${SHOP.token}` });
    const begun = await client.begin();
    const [one, other, participant] = [
      participants.addVolatile(),
      participants.addVolatile(),
      participants.add(),
    ];
    await client.enlistVolatile(begun, one);
    await client.enlistVolatile(begun, one);
    const link = `${participant.link}, ${other.link}`;
    expect((await client.send('POST', begun.durable, { link })).code).toBe(400);
    expect((await client.commit(begun)).code).toBe(200);
    expect([one.bodies.length, other.bodies, participant.calls]).toEqual([2, [], []]);
    await few.close();
  });

  it('lets a participant forget how it has ended, although its transaction has left the memory at once', async () => {
    const forgetful = await startModule({ allow: [participants.origin] }, { retainFinished: 0 });
    const { client } = forgetful;
    const begun = await client.begin();
    const participant = participants.add('aware', { commit: [says('TransactionHeuristicCommit')] });
    await client.enlist(begun, participant);
    await client.enlist(begun, participants.add());
    expect((await client.commit(begun)).text).toBe('txstatus=TransactionCommitted');
    await expect.poll(() => participant.orders()).toEqual(['prepare', 'commit', 'forget']);

    const against = participants.add('aware', { commit: [says('TransactionHeuristicRollback')] });
    const other = await client.begin();
    await client.enlist(other, against);
    await client.enlist(other, participants.add());
    expect((await client.commit(other)).text).toBe('txstatus=TransactionHeuristicMixed');
    const actions = forgetful.app.get(OperatorActions);
    expect(against.count('forget')).toBe(0);
    await actions.forget(other.id, { by: 'alice', reason: 'corrected by hand' });
    await expect.poll(() => against.count('forget')).toBe(1);
    await forgetful.close();
  });

  it('gives up a participant that does not answer prepare, and rolls it back', async () => {
    const impatient = await startModule({
      allow: [participants.origin],
      callers: 'anyone',
      prepareTimeoutMs: 20,
    });
    const { client } = impatient;
    const begun = await client.begin();
    const hanging = participants.add('aware', { prepare: ['hang'] });
    await client.enlist(begun, hanging, participants.add());
    expect((await client.commit(begun)).text).toBe('txstatus=TransactionRolledBack');
    // On a busy machine its time may be up before prepare has left.
    await expect.poll(() => hanging.orders().at(-1)).toBe('rollback');
    expect(hanging.count('commit')).toBe(0);
    await impatient.close();
  });

  it('tells volatile participants of an end that no client has asked for', async () => {
    const { base } = coordinator.client;
    const client = new RestAtClient(base, { authorization: `Bearer ${SHOP.token}` });
    const begun = await client.begin();
    const volatile = participants.addVolatile();
    await client.enlistVolatile(begun, volatile);
    await coordinator.app.get(OperatorActions).abort(begun.id, { by: 'alice', reason: 'abandoned' });
    await expect.poll(() => volatile.bodies).toEqual(['txstatus=TransactionRolledBack']);
  });

  it('lets a participant that has left enlist again, in the same way', async () => {
    const { base } = coordinator.client;
    const client = new RestAtClient(base, { authorization: `Bearer ${SHOP.token}` });
    const begun = await client.begin();
    const participant = participants.add();
    const recovery = await client.enlist(begun, participant);
    await client.send('DELETE', recovery);
    expect(await client.enlist(begun, participant)).toBe(recovery);
    expect((await client.commit(begun)).code).toBe(200);
    expect(participant.orders()).toEqual(['one-phase']);
  });

  it('serves no page in a browser without a token', async () => {
    const open = await startModule({ allow: [participants.origin] });
    const headers = { origin: 'https://evil.example' };
    expect((await open.client.send('POST', open.client.manager, { headers })).code).toBe(403);
    expect((await open.client.send('POST', open.client.manager)).code).toBe(201);
    await open.close();
  });

  it('makes no link of an invalid header Host', async () => {
    const { hostname, port } = new URL(coordinator.client.base);
    const socket = connect(Number(port), hostname);
    socket.write(
      `POST /rest-at-coordinator/tx/transaction-manager HTTP/1.1\r\nHost: evil,<x>\r\nAuthorization: Bearer ${SHOP.token}\r\n` +
        'Content-Length: 0\r\nConnection: close\r\n\r\n',
    );
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.destroy();
    expect(answer.toString()).toMatch(/^HTTP\/1.1 400 /);
    expect(answer.toString()).not.toContain('evil');
  });

  it('takes its options from a factory, lives with prefixes and parsers of the application, and has its URL behind a proxy', async () => {
    @Module({})
    class Settings {}
    const module = await Test.createTestingModule({
      imports: [
        CoordinatorModule.forRoot({ allowMemoryLog: true, shutdownGraceMs: 10 }),
        RestAtModule.forRootAsync({
          prefix: '/rts/',
          imports: [Settings],
          useFactory: () => ({ callers: 'anyone' as const, url: 'https://tx.internal/rts/' }),
        }),
      ],
    }).compile();
    const app = module.createNestApplication<NestExpressApplication>({ logger: false });
    app.useBodyParser('text', { type: '*/*' });
    app.setGlobalPrefix('api');
    await app.listen(0, '127.0.0.1');
    const client = new RestAtClient(`${await app.getUrl()}/api/rts`);
    const { code, location } = await client.send('POST', client.manager, {
      type: 'text/plain',
      body: 'timeout=30000',
    });
    expect([code, location]).toEqual([
      201,
      expect.stringMatching(/^https:\/\/tx\.internal\/rts\/transaction-manager\/[\w.-]+$/),
    ]);
    const url = `${client.manager}/${location.split('/').at(-1)}`;
    const accept = 'application/txstatusext+xml';
    expect((await client.send('GET', url, { accept })).text).toContain('<timeout>30000</timeout>');
    const commit = { type: 'application/txstatus', body: 'txstatus=TransactionCommitted' };
    expect((await client.send('PUT', `${url}/terminator`, commit)).code).toBe(200);
    expect((await client.send('GET', client.manager.replace('/api', ''))).code).toBe(404);
    await app.close();
  });

  it.each<[what: string, options: object, problem: RegExp]>([
    ['no callers', {}, /callers: must be a list/],
    ['a short token', { callers: [{ name: 'shop', token: 'short' }] }, /of RestAtModule .*at least 16/],
    ['an origin that is none', { callers: 'anyone', allow: ['stock'] }, /allow: "stock" is no origin/],
    ['a limit that is impossible', { callers: 'anyone', maxTimeoutMs: 0 }, /maxTimeoutMs: /],
    ['an option that is not known', { callers: 'anyone', timeout: 1 }, /timeout/],
    ['a URL that no link can be made of', { callers: 'anyone', url: 'https://a,b/tx' }, /url: must be/],
    ['a prefix with parameters', { callers: 'anyone', prefix: ':id' }, /prefix: must be a path/],
  ])('refuses %s', async (_what, options, problem) => {
    const given = { callers: undefined, ...options } as unknown as RestAtOptions;
    const starting = (async () => startModule(given))();
    await expect(starting).rejects.toThrow(problem);
  });
});

describe.runIf(hasCurl)('The session of docs/rest-at.md', () => {
  it('has the answers that the page shows', async () => {
    const participants = await ParticipantServer.start();
    const coordinator = await startModule({ callers: [SHOP], allow: [participants.origin] });
    const stock = participants.add();
    const script = session
      .replace('http://127.0.0.1:3000/rest-at-coordinator/tx', coordinator.client.base)
      .replace('http://127.0.0.1:8080/stock', stock.url);
    try {
      // curl shows its progress in the other stream.
      const { stdout } = await promisify(execFile)('sh', ['-c', script]);
      expect(stdout).toBe(answers);
      expect(stock.orders()).toEqual(['one-phase']);
    } finally {
      await coordinator.close();
      await participants.close();
    }
  });
});

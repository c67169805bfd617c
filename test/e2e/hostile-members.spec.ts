import type { RequestListener } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { branch } from '../../src/coordinator/index.js';
import { SharedMemoryStore } from '../../src/coordinator/testing/shared-memory-store.js';
import {
  COORDINATOR,
  ForgedMember,
  HttpMember,
  MEMBER_TOKEN,
  OPERATOR,
  READER,
  type Shown,
} from '../support/http-members.js';

const TIMEOUT_MS = 600;
const OLD_TOKEN = 'the-old-token-of-the-members';
const ORDER = { reason: 'a test' };

describe('A call between members', () => {
  const store = new SharedMemoryStore();
  let one: HttpMember;
  let two: HttpMember;
  /** Its member is another program. */
  let forged: ForgedMember;
  let sentBytes = 0;
  /** In the log its address is that of the member one. */
  let mistaken: ForgedMember;

  beforeAll(async () => {
    const members = { tokens: [MEMBER_TOKEN], timeoutMs: TIMEOUT_MS };
    one = await HttpMember.start('one', store, { members });
    two = await HttpMember.start('two', store, {
      members: { ...members, tokens: [OLD_TOKEN, MEMBER_TOKEN] },
    });
    forged = await ForgedMember.start(store);
    mistaken = await ForgedMember.start(store, one.url);
    await Promise.all([one.sees(mistaken.epoch), two.sees(mistaken.epoch)]);
  });
  afterAll(() => Promise.all([one.close(), two.close(), forged.close()]));
  afterEach(() => {
    forged.handler = (_request, response) => response.writeHead(503).end();
  });

  const callFor = (epoch: number, request: object): object => {
    const [, logId] = forged.id(1).split('.');
    return { coordinator: COORDINATOR, logId, to: epoch, request };
  };

  it.each([
    ['no token', ''],
    ['the token of a reader', READER.token],
    ['the token of an operator', OPERATOR.token],
    ['a token that is not known', `${MEMBER_TOKEN}s`],
    ['a token that the member does not accept any more', OLD_TOKEN],
  ])('is refused with %s, and changes nothing', async (_, token) => {
    const call = callFor(1, { kind: 'drain', by: 'alice', ...ORDER });
    const answer = await one.post('members/calls', call, token);

    expect([answer.status, answer.body['code']]).toEqual([401, 'DTC_UNAUTHENTICATED']);
    expect((await one.get('health/ready')).status).toBe(200);
  });

  it('is accepted with every token of the list, so that a token can be replaced', async () => {
    const { transactionId } = await two.transactions.run({ branches: [branch('bank', 1)] });
    // The name of a new member comes with the next look at the log.
    await expect
      .poll(async () => (await one.get<Shown>(`transactions/${transactionId}`)).body)
      .toMatchObject({ owner: { member: 'two' } });

    const other = (await one.transactions.run({ branches: [] })).transactionId;
    const refused = await two.post(`transactions/${other}/forget`, ORDER);
    expect(refused.body['detail']).toMatch(
      /it does not accept the token of this member\. So nothing was done\./,
    );
  });

  it('is refused when it is not for this member, or makes no sense', async () => {
    const find = { kind: 'find', transactionId: forged.id(1) };
    const wrong = await one.post('members/calls', callFor(forged.epoch, find), MEMBER_TOKEN);
    expect([wrong.status, wrong.body['code']]).toEqual([421, 'DTC_WRONG_MEMBER']);
    const filter = { order: 'oldest', limit: 1, ofALaterVersion: 'x' };
    for (const request of [
      { kind: 'erase' },
      { kind: 'drain' },
      { kind: 'find', transactionId: 7 },
      { kind: 'list', filter },
      null,
    ]) {
      const answer = await one.post('members/calls', callFor(1, request as object), MEMBER_TOKEN);
      expect([answer.status, answer.body['code']]).toEqual([400, 'DTC_BAD_REQUEST']);
    }
  });

  it('cannot be forged by fields of a request to another route', async () => {
    const headers = {
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-user': OPERATOR.name,
      forwarded: 'by=member',
      'x-dtc-member': '1',
      'x-dtc-forwarded': 'true',
      'x-dtc-operator': OPERATOR.name,
    };
    const body = { ...ORDER, by: 'mallory' };
    const acted = await one.post('coordinator/drain', ORDER, READER.token, headers);
    expect([acted.status, acted.body['code']]).toEqual([403, 'DTC_FORBIDDEN']);
    const named = await one.post('coordinator/drain', body, OPERATOR.token, headers);
    expect([named.status, named.body['code']]).toEqual([400, 'DTC_BAD_REQUEST']);
    const asMember = await one.post('coordinator/drain', ORDER, MEMBER_TOKEN, headers);
    expect([asMember.status, asMember.body['code']]).toEqual([401, 'DTC_UNAUTHENTICATED']);
    expect((await one.get('members', { authorization: `Bearer ${MEMBER_TOKEN}` })).status).toBe(401);
  });

  it('is not passed on by the member that it reaches', async () => {
    const before = forged.calls.length;
    const call = callFor(1, { kind: 'find', transactionId: forged.id(1) });
    const answer = await one.post<{ answer: unknown }>('members/calls', call, MEMBER_TOKEN);
    expect([answer.status, answer.body.answer]).toMatchObject([
      200,
      { transaction: null, outcome: { status: 'elsewhere' } },
    ]);
    const order = callFor(1, { kind: 'abort', transactionId: forged.id(1), by: 'alice', ...ORDER });
    const acted = await one.post('members/calls', order, MEMBER_TOKEN);
    expect([acted.status, acted.body['code']]).toEqual([404, 'DTC_TRANSACTION_NOT_FOUND']);
    // The refusal names the member that gives it.
    const [, logId] = forged.id(1).split('.');
    expect(acted.body).toMatchObject({ coordinator: COORDINATOR, logId, epoch: 1 });

    expect(forged.calls.length).toBe(before);
  });

  it('ends where the address in the log leads to another member', async () => {
    const before = one.calls.length;
    const answer = await one.get(`transactions/${mistaken.id(1)}`);

    expect([answer.status, answer.body['code']]).toEqual([503, 'DTC_ASK_LATER']);
    expect(answer.body['detail']).toContain('another process has its address now');
    expect(one.calls.length).toBe(before + 1);
  });

  const committed = (): object => {
    const outcome = { transactionId: forged.id(1), status: 'committed' };
    return forged.reply({ transaction: null, outcome });
  };
  const json =
    (answer: unknown, status = 200, headers: Record<string, string> = {}): RequestListener =>
    (_request, response) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify(answer));
    };

  it('is believed when the answer is one', async () => {
    forged.handler = json(committed());
    const answer = await one.get(`transactions/${forged.id(1)}`);
    expect([answer.status, answer.body]).toMatchObject([
      200,
      { outcome: 'committed', owner: { member: 'forged' } },
    ]);
  });

  const ANSWERS: readonly [string, string, () => RequestListener][] = [
    [
      'garbage',
      'cannot be read|is not this member',
      () => (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' }).end('{"answer":');
      },
    ],
    [
      'a page',
      'not one of a member',
      () => (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>committed</h1>');
      },
    ],
    ['nothing', 'not one of a member', () => (_request, response) => response.writeHead(204).end()],
    ['a redirect', 'not one of a member', () => json({}, 307, { location: `${one.url}/members/calls` })],
    ['the answer of another epoch', 'not this member', () => json({ ...committed(), epoch: 1 })],
    ['the answer of another log', 'not this member', () => json({ ...committed(), logId: 'abcdefghijkl' })],
    [
      'an outcome of another transaction',
      'does not know it either',
      () =>
        json(
          forged.reply({ transaction: null, outcome: { transactionId: forged.id(2), status: 'committed' } }),
        ),
    ],
    [
      'an outcome that is none',
      'cannot be read',
      () =>
        json(forged.reply({ transaction: null, outcome: { transactionId: forged.id(1), status: 'done' } })),
    ],
    [
      'a body that is compressed',
      'not one of a member',
      () => json(committed(), 200, { 'content-encoding': 'gzip' }),
    ],
    ['an error', 'not one of a member', () => json(committed(), 500)],
    [
      'the refusal of another route',
      'has refused the call',
      () => json({ type: 'x', title: 'x', status: 418, code: 'DTC_TEAPOT', detail: 'x' }, 418),
    ],
    [
      'a body without end',
      // On a busy machine the time may be over first.
      'larger than|not answered within',
      () => (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const chunk = Buffer.alloc(256 * 1024, ' ');
        const more = (): void => {
          let isTaken = true;
          while (isTaken && !response.destroyed) {
            sentBytes += chunk.length;
            isTaken = response.write(chunk);
          }
        };
        response.on('drain', more);
        more();
      },
    ],
    [
      'a body that says how large it is',
      'larger than',
      () => json(committed(), 200, { 'content-length': String(5 * 1024 * 1024) }),
    ],
    [
      'half a body',
      'answer was lost',
      () => (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' });
        response.write('{', () => response.destroy());
      },
    ],
    [
      'a header without end',
      'answer was lost',
      () => (request) => {
        request.socket.end(`HTTP/1.1 200 OK\r\nX-Large: ${'a'.repeat(64 * 1024)}\r\n\r\n`);
      },
    ],
    ['no answer', `not answered within ${TIMEOUT_MS} ms`, () => () => {}],
    [
      'a byte now and then',
      `not answered within ${TIMEOUT_MS} ms`,
      () => (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/json' });
        const timer = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(timer));
      },
    ],
  ];

  it.each(ANSWERS)(
    'is not believed, and does not end, when the answer is %s',
    async (_, problem, handler) => {
      forged.handler = handler();
      sentBytes = 0;
      const [before, callsOfOne] = [forged.calls.length, one.calls.length];

      const [found, listed, outcome] = await Promise.all([
        two.get(`transactions/${forged.id(1)}`),
        one.get<{ unanswered: { epoch: number; problem: string }[]; transactions: Shown[] }>('transactions'),
        one.transactions.outcomeOf(forged.id(1)),
      ]);

      expect([found.status, found.body['code']]).toEqual([503, 'DTC_ASK_LATER']);
      expect(found.body['detail']).toMatch(new RegExp(problem));
      expect(listed.body.unanswered).toContainEqual(expect.objectContaining({ epoch: forged.epoch }));
      expect(outcome).toMatchObject({ status: 'elsewhere', owner: forged.epoch });
      // Each question was one call, and no answer has led to a call of another. The list asks the mistaken
      // member.
      expect(forged.calls.length).toBe(before + 3);
      expect(one.calls.length).toBe(callsOfOne + 1);
      // Room for three answers, and for the bytes on the way between them.
      expect(sentBytes).toBeLessThan(3 * 16 * 1024 * 1024);
    },
  );

  it('says of an order without an answer that it may have been carried out', async () => {
    forged.handler = json({}, 500);
    const answer = await one.post(`transactions/${forged.id(1)}/abort`, ORDER);

    expect([answer.status, answer.body['code']]).toEqual([503, 'DTC_MEMBER_UNREACHABLE']);
    expect(answer.body['detail']).toContain('not known whether the order was carried out');
  });

  it('has a limit for each member, so that one that hangs delays no call to another', async () => {
    const before = forged.calls.length;
    forged.handler = () => {};
    const { transactionId } = await two.transactions.run({ branches: [branch('bank', 1)] });
    const hanging = Array.from({ length: 40 }, () => one.get(`transactions/${forged.id(1)}`));

    expect((await one.get<Shown>(`transactions/${transactionId}`)).body.state).toBe('COMMITTED');
    const answers = await Promise.all(hanging);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([503]));
    expect(
      answers.filter(({ body }) => String(body['detail']).includes('too many calls')).length,
    ).toBeGreaterThan(0);
    expect(forged.calls.length - before).toBeLessThan(40);
  });
});

describe('Members without a token', () => {
  const store = new SharedMemoryStore();
  let alone: HttpMember;
  let forged: ForgedMember;

  beforeAll(async () => {
    alone = await HttpMember.start('alone', store, { isWithoutTokens: true });
    forged = await ForgedMember.start(store);
    await alone.sees(forged.epoch);
  });
  afterAll(() => Promise.all([alone.close(), forged.close()]));

  it('are asked by no one, ask no one, and say what is missing', async () => {
    const call = { coordinator: COORDINATOR, logId: 'x', to: 1, request: { kind: 'overview' } };
    for (const token of ['', MEMBER_TOKEN, 'undefined-undefined'])
      expect((await alone.post('members/calls', call, token)).status).toBe(401);

    const found = await alone.get(`transactions/${forged.id(1)}`);
    expect([found.status, found.body['code']]).toEqual([503, 'DTC_ASK_LATER']);
    expect(found.body['detail']).toContain('members have no token here');
    expect(forged.calls).toEqual([]);
  });
});

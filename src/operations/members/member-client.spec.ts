import { once } from 'node:events';
import { type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemberClient } from './member-client.js';

let server: Server;
let requests = 0;
let address = '';
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  requests = 0;
  answer = (response) => response.end('no member');
  server = createServer((_request, response) => {
    requests++;
    answer(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.close();
  await once(server, 'close');
});

function clientThatSees(
  members: readonly { readonly epoch: number; readonly state: string }[],
): MemberClient {
  const seen = { own: { name: 'shop', logId: 'log' }, view: () => ({ members }) };
  return new MemberClient(seen as never, { sent: 'token', timeoutMs: 1_000 } as never);
}

describe('A call to another member', () => {
  it.each(['lost', 'fenced', 'adopted'])('sends no token to the address of one that is %s', async (state) => {
    const asked = await clientThatSees([{ epoch: 7, state }]).ask(
      { epoch: 7, address },
      { kind: 'overview' },
    );

    expect(asked).toMatchObject({ kind: 'failed', mayBeDone: false });
    expect(requests).toBe(0);
  });

  it('sends no token to an address of a member that is not listed', async () => {
    const asked = await clientThatSees([]).ask({ epoch: 7, address }, { kind: 'overview' });

    expect(asked).toMatchObject({ kind: 'failed', mayBeDone: false });
    expect(requests).toBe(0);
  });

  it('goes to the address of one that is alive', async () => {
    const seen = [{ epoch: 7, state: 'alive' }];
    const asked = await clientThatSees(seen).ask({ epoch: 7, address }, { kind: 'overview' });

    expect(asked).toMatchObject({ kind: 'failed' });
    expect(requests).toBe(1);
  });

  it('is one of a limited number, except for the overview: a member that is busy is not one that does not answer', async () => {
    const open: ServerResponse[] = [];
    answer = (response) => void open.push(response);
    const client = clientThatSees([{ epoch: 7, state: 'alive' }]);
    const member = { epoch: 7, address };
    const find = { kind: 'find', transactionId: 'id' } as const;
    const waiting = Array.from({ length: 16 }, () => client.ask(member, find));
    await expect.poll(() => open.length).toBe(16);
    const problem = 'too many calls to it are under way';
    expect(await client.ask(member, find)).toEqual({ kind: 'failed', problem, mayBeDone: false });
    const overview = client.ask(member, { kind: 'overview' });
    await expect.poll(() => open.length).toBe(17);
    for (const response of open) response.end();
    await Promise.all([...waiting, overview]);
  });

  const refusal = {
    type: 'about:blank',
    title: 'Not Found',
    status: 404,
    code: 'DTC_TRANSACTION_NOT_FOUND',
    detail: 'It is not known.',
  };
  const self = { coordinator: 'shop', logId: 'log', epoch: 7 };

  it.each([
    ['that names no member', {}],
    ['of another coordinator', { ...self, coordinator: 'till' }],
    ['of another log', { ...self, logId: 'copy' }],
    ['of another epoch', { ...self, epoch: 8 }],
  ])('believes no refusal %s', async (_, given) => {
    answer = (response) =>
      response
        .writeHead(404, { 'content-type': 'application/problem+json' })
        .end(JSON.stringify({ ...refusal, ...given }));
    const asked = await clientThatSees([{ epoch: 7, state: 'alive' }]).ask(
      { epoch: 7, address },
      { kind: 'overview' },
    );
    const problem = 'what answers at its address is not this member';
    expect(asked).toEqual({ kind: 'failed', problem, mayBeDone: true });
  });

  it.each([
    ['that names no member', undefined],
    ['of another coordinator', { coordinator: 'till' }],
    ['of another log', { logId: 'copy' }],
    ['of another epoch', { epoch: 8 }],
  ])('believes no answer %s', async (_, other) => {
    const given = other === undefined ? {} : { ...self, ...other };
    const transaction = { transaction: null, outcome: { transactionId: 'id', status: 'committed' } };
    answer = (response) =>
      response
        .writeHead(200, { 'content-type': 'application/json' })
        .end(JSON.stringify({ ...given, answer: transaction }));
    const asked = await clientThatSees([{ epoch: 7, state: 'alive' }]).ask(
      { epoch: 7, address },
      { kind: 'find', transactionId: 'id' },
    );
    const problem = 'what answers at its address is not this member';
    expect(asked).toEqual({ kind: 'failed', problem, mayBeDone: true });
  });

  it.each([301, 302, 303, 307, 308])('follows no redirect (%d), not even one to itself', async (status) => {
    const found = { transaction: null, outcome: { transactionId: 'id', status: 'committed' } };
    answer = (response) => {
      const headers = { 'content-type': 'application/json' };
      if (requests === 1)
        response.writeHead(status, { ...headers, location: `${address}/elsewhere` }).end('{}');
      else response.writeHead(200, headers).end(JSON.stringify({ ...self, answer: found }));
    };
    const asked = await clientThatSees([{ epoch: 7, state: 'alive' }]).ask(
      { epoch: 7, address },
      { kind: 'find', transactionId: 'id' },
    );
    expect(asked).toMatchObject({ kind: 'failed', mayBeDone: true });
    expect(requests).toBe(1);
  });

  it('says that a member of an earlier version has done nothing, where it does not know the call', async () => {
    const invalid = { ...refusal, status: 400, code: 'DTC_INVALID_REQUEST' };
    answer = (response) =>
      response.writeHead(400, { 'content-type': 'application/problem+json' }).end(JSON.stringify(invalid));
    const asked = await clientThatSees([{ epoch: 7, state: 'alive' }]).ask(
      { epoch: 7, address },
      { kind: 'forget-report', transactionId: 'id', branchId: 'b', by: 'ann', reason: 'repaired' },
    );
    expect(asked).toEqual({
      kind: 'failed',
      problem: expect.stringContaining('earlier version'),
      mayBeDone: false,
    });
  });

  it('believes a refusal of the member that it asks', async () => {
    answer = (response) =>
      response
        .writeHead(404, { 'content-type': 'application/problem+json' })
        .end(JSON.stringify({ ...refusal, ...self }));
    const asked = await clientThatSees([{ epoch: 7, state: 'alive' }]).ask(
      { epoch: 7, address },
      { kind: 'overview' },
    );
    expect(asked).toMatchObject({ kind: 'refused', code: 'DTC_TRANSACTION_NOT_FOUND' });
  });
});

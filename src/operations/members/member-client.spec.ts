import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemberClient } from './member-client.js';

let server: Server;
let requests = 0;
let address = '';

beforeEach(async () => {
  requests = 0;
  server = createServer((_request, response) => {
    requests++;
    response.end('no member');
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
});

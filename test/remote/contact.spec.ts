import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CoordinatorContact } from '../../src/host/coordinator-contact.js';
import { type GuardedBranch, MemoryReplicaGuardStore, ParticipantHost } from '../../src/host/index.js';
import { idOf, runOf } from '../support/identity.js';
import { Books, ledgerOf } from './support/ledger.js';
import { type Host, TOKEN, startHost } from './support/services.js';

const MEMBER_TOKEN = 'the-token-of-the-host';
const PREPARED = idOf('shop', 1, 1);

/** A member of a coordinator, as far as a host sees it. */
class Member {
  readonly requests: string[] = [];
  status = 200;
  /** Requests whose path ends so are refused. */
  refused: string | undefined;
  refusal = 'no';
  decision: unknown = 'wait';
  private readonly server: Server;

  constructor() {
    this.server = createServer((request, response) => {
      let body = '';
      request.on('data', (chunk: Buffer) => (body += chunk.toString()));
      request.on('end', () => {
        this.requests.push(`${request.method} ${request.url} ${body}`);
        const isKnown = request.headers.authorization === `Bearer ${MEMBER_TOKEN}`;
        if (this.refused !== undefined && request.url!.endsWith(this.refused)) {
          response.writeHead(409).end(this.refusal);
          return;
        }
        response.writeHead(
          isKnown ? this.status : 401,
          this.status === 302 ? { Location: '/elsewhere' } : {},
        );
        response.end(JSON.stringify({ decision: this.decision }));
      });
    });
  }

  async open(): Promise<this> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** How often it was asked for the decision. */
  get asked(): number {
    return this.requests.filter((request) => request.startsWith(`GET /dtc/transactions/${PREPARED}/decision`))
      .length;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

describe('A host that reaches its coordinator', () => {
  const books = new Books();
  let members: Member[];
  let host: Host;
  let guard: MemoryReplicaGuardStore;

  beforeEach(async () => {
    books.calls.length = 0;
    books.prepared.clear();
    members = await Promise.all([new Member().open(), new Member().open()]);
    guard = new MemoryReplicaGuardStore();
    const contact = {
      members: members.map(({ url }) => `${url}/`),
      credentials: MEMBER_TOKEN,
      address: 'http://stock.internal/participants',
      intervalMs: 20,
    };
    host = await startHost([ledgerOf('stock', books)], { guard, contact });
  });
  afterEach(async () => {
    await host.app.close();
    await Promise.all(members.map((member) => member.close()));
  });

  async function prepare(): Promise<void> {
    const { name, logId, epoch, token } = runOf();
    const call = {
      method: 'prepare',
      transactionId: PREPARED,
      branchId: 'stock',
      attempt: 0,
      timeLeftMs: 1_000,
      payload: { amount: 1 },
    };
    const message = {
      version: 1,
      participant: 'stock',
      run: { name, logId, epoch, token, durable: true },
      calls: [call],
    };
    const answer = await fetch(`${host.address}/calls`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${TOKEN}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(message),
    });
    expect(await answer.json()).toMatchObject({ vote: 'commit' });
  }

  it('registers its participants, and again, at a member that answers', async () => {
    const registration = 'PUT /dtc/participants/stock {"address":"http://stock.internal/participants"}';
    await expect
      .poll(() => members[0]!.requests.filter((request) => request === registration).length)
      .toBeGreaterThan(1);
    expect(members[1]!.requests).toEqual([]);
    members[0]!.status = 503;
    await expect.poll(() => members[1]!.requests).toContain(registration);
  });

  it('fault 30: rolls a branch in doubt back only when a member says abort', async () => {
    await prepare();
    await expect.poll(() => members[0]!.asked).toBeGreaterThan(1);
    for (const nonsense of ['rollback', true, null, 'ABORT', { decision: 'abort' }]) {
      members[0]!.decision = nonsense;
      const asked = members[0]!.asked;
      await expect.poll(() => members[0]!.asked).toBeGreaterThan(asked + 1);
    }
    expect(books.prepared.size).toBe(1);
    members[0]!.decision = 'abort';
    await expect.poll(() => books.prepared.size).toBe(0);
    expect(books.calls).toEqual(['prepare', 'rollback']);
    expect(await host.app.get(ParticipantHost).inDoubt('stock')).toEqual([]);
  });

  it('leaves a commit that needs its payload to the coordinator, and follows no redirect', async () => {
    await prepare();
    members[0]!.decision = 'commit';
    await expect.poll(() => members[0]!.asked).toBeGreaterThan(1);
    members[0]!.status = 302;
    members[0]!.decision = 'abort';
    await expect.poll(() => members[1]!.asked).toBeGreaterThan(1);
    expect(
      members.flatMap(({ requests }) => requests).filter((request) => request.includes('elsewhere')),
    ).toEqual([]);
    expect(books.calls).toEqual(['prepare']);
    expect(books.prepared.size).toBe(1);
  });
});

describe('A pass of a host over its coordinator', () => {
  let member: Member;
  const warnings: string[] = [];
  const logger = { log: () => {}, warn: (line: string) => void warnings.push(line) };

  beforeEach(async () => {
    warnings.length = 0;
    member = await new Member().open();
  });
  afterEach(() => member.close());

  const contactOf = (host: Partial<ConstructorParameters<typeof CoordinatorContact>[1]>, address?: string) =>
    new CoordinatorContact(
      { members: [member.url], credentials: MEMBER_TOKEN, address },
      { names: ['stock'], inDoubt: () => Promise.resolve([]), decide: () => Promise.resolve(), ...host },
      logger,
    );
  const listOf = (participant: string, count: number): GuardedBranch[] =>
    Array.from({ length: count }, (_, index) => ({
      participant,
      transactionId: idOf('shop', 1, 10_000 + index),
      branchId: participant,
    }));
  const pageOf = (list: readonly GuardedBranch[], after = ''): Promise<GuardedBranch[]> =>
    Promise.resolve(
      list.filter(({ transactionId, branchId }) => `${transactionId}/${branchId}` > after).slice(0, 500),
    );
  const askedFor = (): number => new Set(member.requests.filter((line) => line.includes('/decision'))).size;

  it('registers the other names and asks about doubts although one name is refused', async () => {
    member.refused = '/dtc/participants/stock';
    member.refusal = 'no\nLOG forged\u001b[2K';
    const contact = contactOf(
      { names: ['stock', 'payment'], inDoubt: (name) => pageOf(listOf(name, name === 'stock' ? 1 : 0)) },
      'http://stock.internal/participants',
    );
    await contact.pass();
    await contact.pass();
    expect(member.requests.filter((line) => line.startsWith('PUT /dtc/participants/payment'))).toHaveLength(
      2,
    );
    expect(askedFor()).toBe(1);
    expect(warnings).toEqual([expect.stringContaining('has not registered "stock": 409 no\\u000aLOG')]);
    expect(warnings[0]).not.toMatch(/\p{Cc}/u);
  });

  it('comes to every branch in doubt of every participant, also behind one that fails', async () => {
    const lists = new Map(['stock', 'payment'].map((name, index) => [name, listOf(name, 610 - index * 500)]));
    member.decision = 'abort';
    const decided = new Set<string>();
    const contact = contactOf({
      names: [...lists.keys()],
      inDoubt: (name, after) => pageOf(lists.get(name)!, after),
      decide: ({ participant, transactionId }) => {
        decided.add(`${participant}/${transactionId}`);
        return transactionId === idOf('shop', 1, 10_000)
          ? Promise.reject(new Error('its database is away'))
          : Promise.resolve();
      },
    });
    for (let pass = 0; pass < 10; pass++) await contact.pass();
    expect(decided.size).toBe(610 + 110);
    expect(warnings[0]).toContain('its database is away');
  });
});

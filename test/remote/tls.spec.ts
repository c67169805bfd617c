import { once } from 'node:events';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse, createServer as createPlainServer } from 'node:http';
import { type Server, type ServerOptions, createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { TransactionClientModule, branch } from '../../src/client/index.js';
import { CoordinatorContact } from '../../src/host/coordinator-contact.js';
import { ParticipantHostModule } from '../../src/host/index.js';
import { type TlsSource, tlsFrom } from '../../src/hop/index.js';
import { MemberClient } from '../../src/operations/members/member-client.js';
import { MemberTokens } from '../../src/operations/members/member-tokens.js';
import { OperationsModule } from '../../src/operations/index.js';
import {
  HttpTransport,
  RegistrationFile,
  RemoteParticipants,
  RemoteParticipantsModule,
} from '../../src/remote/index.js';
import { clientOf } from '../client/support.js';
import { ACCESS, PARTICIPANT, TestServer } from '../server/support.js';
import { idOf } from '../support/identity.js';
import { type Issued, TestAuthority } from '../support/test-authority.js';
import { Books, ledgerOf } from './support/ledger.js';
import { TOKEN, startHost } from './support/services.js';
import { freePort } from '../../src/postgres-server/free-port.js';

/** After this, files are looked at again. */
const LOOK_AGAIN_MS = 1_001;
const ID = idOf('shop', 1, 1);
const GREETING = {
  version: 1,
  name: 'shop',
  logId: 'aaaaaaaaaaaa',
  epoch: 1,
  run: 'aaaaaaaaaaaa.1',
  isShared: false,
  maxTimeoutMs: 1_000,
};

/** The answers of each hop, by the end of its path. */
const ANSWERS: readonly (readonly [end: string, type: string, body: unknown])[] = [
  ['/participants/calls', 'application/x-ndjson', { id: 0, kind: 'done' }],
  ['/dtc', 'application/json', GREETING],
  ['/dtc/run', 'application/json', { status: 'committed', transactionId: ID }],
  ['/dtc/participants/stock', 'application/json', {}],
  [
    '/members/calls',
    'application/json',
    {
      coordinator: 'shop',
      logId: 'log',
      epoch: 7,
      answer: { transaction: null, outcome: { transactionId: ID, status: 'committed' } },
    },
  ],
];

/** The other side of every hop. */
class Peer {
  /** The requests that have arrived. */
  arrived = 0;
  /** The serial numbers of the certificates of the other side, one for each connection. */
  readonly shown: string[] = [];

  private constructor(readonly server: Server) {
    server.on('secureConnection', (socket) => this.shown.push(socket.getPeerCertificate().serialNumber));
  }

  static async open(options: ServerOptions): Promise<Peer> {
    const server = createServer(options);
    const peer = new Peer(server);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      peer.arrived++;
      const [, type, body] = ANSWERS.find(([end]) => request.url!.endsWith(end))!;
      request.resume();
      response.writeHead(200, { 'content-type': type }).end(`${JSON.stringify(body)}\n`);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return peer;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}

/** Sends one request. @returns `ok`, or what the error says. */
type Hop = (url: string, tls: TlsSource | undefined) => Promise<string>;

const toHost: Hop = async (url, tls) => {
  const transport = new HttpTransport(`${url}/participants`, { credentials: TOKEN, tls });
  const answers: unknown[] = [];
  try {
    await transport.send('{}', (answer) => answers.push(answer), 10_000);
    return answers.length === 1 ? 'ok' : 'no answer';
  } catch (error) {
    return (error as Error).message;
  } finally {
    transport.close();
  }
};

const fromHost: Hop = async (url, tls) => {
  const lines: string[] = [];
  const logger = { log: () => {}, warn: (line: string) => lines.push(line) };
  const host = { names: ['stock'], inDoubt: async () => [], decide: async () => {} };
  const options = { members: [url], credentials: TOKEN, address: 'https://stock/participants', tls };
  const contact = new CoordinatorContact(options, host, logger);
  await contact.pass();
  await contact.stop();
  return lines[0] ?? 'ok';
};

const fromCaller: Hop = async (url, tls) => {
  // It tries again until it gives up. A busy machine may need longer for its first try: that says nothing of
  // certificates.
  for (const giveUpAfterMs of [150, 1_500]) {
    const answer = await callFor(giveUpAfterMs, url, tls);
    if (!answer.includes('no answer in time')) return answer;
  }
  return callFor(15_000, url, tls);
};

async function callFor(giveUpAfterMs: number, url: string, tls: TlsSource | undefined): Promise<string> {
  const client = clientOf([`${url}/dtc`], { tls, giveUpAfterMs });
  try {
    return (await client.run({ branches: [] })).status === 'committed' ? 'ok' : 'not committed';
  } catch (error) {
    return (error as Error).message;
  } finally {
    client.onApplicationShutdown();
  }
}

const toMember: Hop = async (url, tls) => {
  const members = [{ epoch: 7, state: 'alive' }];
  const seen = { own: { name: 'shop', logId: 'log' }, view: () => ({ members }) };
  const client = new MemberClient(seen as never, new MemberTokens({ tokens: [TOKEN], tls }));
  const asked = await client.ask({ epoch: 7, address: url }, { kind: 'find', transactionId: ID });
  return asked.kind === 'failed' ? `${asked.problem}${asked.mayBeDone ? ' (may be done)' : ''}` : 'ok';
};

const HOPS: readonly (readonly [string, Hop])[] = [
  ['from the coordinator to a host', toHost],
  ['from a host to the coordinator', fromHost],
  ['from a caller to the coordinator', fromCaller],
  ['from a member to a member', toMember],
];

let authority: TestAuthority;
let stranger: TestAuthority;
let own: Issued;
const peers: Record<'good' | 'other' | 'expired' | 'mutual', Peer> = {} as never;

beforeAll(async () => {
  [authority, stranger] = await Promise.all([TestAuthority.make('the test'), TestAuthority.make('another')]);
  own = await authority.issue();
  const { ca } = authority;
  peers.good = await Peer.open(own);
  peers.other = await Peer.open(await authority.issue({ names: [{ type: 'dns', value: 'stock.internal' }] }));
  peers.expired = await Peer.open(await authority.issue({ endsInHours: -1 }));
  peers.mutual = await Peer.open({ ...own, ca, requestCert: true, rejectUnauthorized: true });
});
afterAll(() => Promise.all(Object.values(peers).map((peer) => peer.close())));

describe.each(HOPS)('A connection %s', (_name, ask) => {
  it('accepts a certificate of the given authority', async () => {
    expect(await ask(peers.good.url, { ca: authority.ca })).toBe('ok');
    expect(await ask(peers.good.url, () => ({ ca: [stranger.ca, authority.ca] }))).toBe('ok');
  });

  it('refuses one of another authority, and sends nothing', async () => {
    const before = peers.good.arrived;
    for (const tls of [undefined, { ca: stranger.ca }]) {
      const problem = await ask(peers.good.url, tls);
      expect(problem).toContain('of an authority that is not known here');
      expect(problem).toContain('tls.ca');
      expect(problem).not.toContain('may be done');
    }
    expect(peers.good.arrived).toBe(before);
  });

  it('refuses one of another host, unless that name is given', async () => {
    const problem = await ask(peers.other.url, { ca: authority.ca });
    expect(problem).toContain('for another host');
    expect(problem).toContain('tls.servername');
    expect(peers.other.arrived).toBe(0);
    expect(await ask(peers.other.url, { ca: authority.ca, servername: 'stock.internal' })).toBe('ok');
    peers.other.arrived = 0;
  });

  it('refuses one that has expired', async () => {
    const problem = await ask(peers.expired.url, { ca: authority.ca });
    expect(problem).toContain('has expired (CERT_HAS_EXPIRED); renew it there');
    expect(peers.expired.arrived).toBe(0);
  });

  it('shows its own certificate where the other side asks for one', async () => {
    const { ca } = authority;
    const before = peers.mutual.arrived;
    expect(await ask(peers.mutual.url, { ca })).toContain('tls.cert and tls.key');
    const other = await stranger.issue();
    expect(await ask(peers.mutual.url, { ca, ...other })).toContain('of an authority that it knows');
    expect(peers.mutual.arrived).toBe(before);
    expect(await ask(peers.mutual.url, { ca, ...own })).toBe('ok');
  });
});

describe('An address of https where no TLS is spoken', () => {
  it.each(HOPS)('is named as the problem %s', async (_name, ask) => {
    const server = createPlainServer((_request, response) => response.end());
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    expect(await ask(`https://127.0.0.1:${port}`, { ca: authority.ca })).toContain('does not speak TLS');
    server.close();
  });
});

describe('The option tls', () => {
  const remote = (tls: unknown): unknown =>
    RemoteParticipantsModule.forRoot({ credentials: TOKEN, tls: tls as TlsSource });
  const modules: readonly (readonly [string, (tls: unknown) => unknown])[] = [
    ['RemoteParticipantsModule', remote],
    [
      'ParticipantHostModule',
      (tls) =>
        ParticipantHostModule.forRoot({
          credentials: TOKEN,
          guard: 'memory',
          contact: { members: ['https://c'], credentials: TOKEN, tls: tls as TlsSource },
        }),
    ],
    [
      'TransactionClientModule',
      (tls) =>
        TransactionClientModule.forRoot({ members: ['https://c/dtc'], token: TOKEN, tls: tls as TlsSource }),
    ],
    [
      'OperationsModule',
      (tls) => OperationsModule.forRoot({ members: { tokens: [TOKEN], tls: tls as TlsSource } }),
    ],
  ];

  it.each(modules)('of %s is checked at the start', (_name, configure) => {
    const { ca } = authority;
    for (const [tls, problem] of [
      [{ ca: 'ca.pem' }, /tls\.ca: must be certificates as PEM/],
      [{ ca, cert: own.cert }, /tls: cert and key are needed together/],
      [{ ca, cert: own.key, key: own.key }, /tls: cert and key must be a certificate and its key/],
      [{ ca, rejectUnauthorized: false }, /tls\.rejectUnauthorized: is not an option/],
      ['ca.pem', /tls: must be an object/],
      [{ servername: '' }, /tls\.servername: must be a name/],
      [
        () => {
          throw new Error('no such file');
        },
        /tls: the function throws \(no such file\)/,
      ],
    ] as const)
      expect(() => configure(tls)).toThrow(problem);
    expect(() => configure({ ca, ...own })).not.toThrow();
  });

  it('quotes no key', async () => {
    const { cert } = await stranger.issue();
    expect(() => remote({ cert, key: own.key })).toThrow(
      expect.not.stringContaining(own.key.slice(60, 80)) as never,
    );
  });
});

describe('Certificates in files', () => {
  it('are renewed by writing the files, and stay while these do not fit together', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tls-'));
    const write = (name: string, text: string): string => {
      const path = join(folder, name);
      writeFileSync(`${path}.new`, text);
      renameSync(`${path}.new`, path);
      return path;
    };
    vi.useFakeTimers({ toFake: ['performance'] });
    try {
      const files = {
        ca: write('ca', authority.ca),
        cert: write('cert', own.cert),
        key: write('key', own.key),
      };
      const tls = tlsFrom({ ...files, servername: 'localhost' });
      const first = { ca: authority.ca, ...own, servername: 'localhost' };
      expect(tls()).toEqual(first);
      const renewed = await authority.issue();
      write('cert', renewed.cert);
      vi.advanceTimersByTime(LOOK_AGAIN_MS);
      expect(tls()).toEqual(first);
      write('key', renewed.key);
      expect(tls()).toEqual(first);
      vi.advanceTimersByTime(LOOK_AGAIN_MS);
      expect(tls()).toEqual({ ...first, ...renewed });
    } finally {
      vi.useRealTimers();
      rmSync(folder, { recursive: true, force: true });
    }
    expect(() => tlsFrom({ ca: join(folder, 'none') })).toThrow(
      'The files with the certificates cannot be read.',
    );
  });
});

describe('Connections over TLS to a host', () => {
  it('are used again, and replaced when there are other certificates', async () => {
    const { ca } = authority;
    let present: object = { ca, ...own };
    const { url, shown } = peers.mutual;
    const transport = new HttpTransport(`${url}/participants`, { credentials: TOKEN, tls: () => present });
    const send = (): Promise<void> => transport.send('{}', () => {}, 10_000);
    const before = shown.length;
    await send();
    for (let count = 0; count < 5; count++) {
      present = { ca: [ca], ...own };
      await send();
    }
    // One more may be opened while the first one is not free yet.
    const opened = shown.length;
    expect(opened - before).toBeLessThanOrEqual(2);
    const renewed = await authority.issue();
    present = { ca, ...renewed };
    for (let count = 0; count < 5; count++) await send();
    expect(shown.length).toBeGreaterThan(opened);
    expect(shown.length - opened).toBeLessThanOrEqual(2);
    expect(new Set(shown.slice(before, opened)).size).toBe(1);
    expect(new Set(shown.slice(opened)).size).toBe(1);
    expect(new Set(shown.slice(before)).size).toBe(2);
    present = { ca, cert: 'no certificate', key: own.key };
    await expect(send()).rejects.toThrow();
    present = { ca: stranger.ca, ...renewed };
    await expect(send()).rejects.toThrow('of an authority that is not known here');
    present = { ca, ...renewed };
    await send();
    transport.close();
  });
});

describe('A host, a coordinator and a caller over TLS', () => {
  it('commit together, each with a certificate, and the host registers itself', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tls-'));
    const tls = { ca: authority.ca, ...own };
    const https = { ...tls, requestCert: true, rejectUnauthorized: true };
    const port = await freePort();
    const origin = `https://127.0.0.1:${port}`;
    const registrations = new RegistrationFile(join(folder, 'participants.json'));
    const remote = RemoteParticipantsModule.forRoot({
      credentials: TOKEN,
      tls,
      allow: [origin],
      registrations,
    });
    const server = await TestServer.start({ allowMemoryLog: true }, ACCESS, { imports: [remote] }, (module) =>
      module.createNestApplication(new FastifyAdapter({ https })),
    );
    const coordinator = server.url.replace('http:', 'https:');
    const books = new Books();
    const contact = {
      members: [coordinator],
      credentials: PARTICIPANT.token,
      address: `${origin}/participants`,
      intervalMs: 20,
      tls,
    };
    const host = await startHost([ledgerOf('inventory', books)], { contact, https, port });
    const participants = server.app.get(RemoteParticipants);
    await expect.poll(() => participants.list().map(({ name }) => name)).toEqual(['inventory']);
    const client = clientOf([`${coordinator}/dtc`], { tls });
    const run = (): Promise<string> =>
      client.run({ branches: [branch('inventory', { amount: 7 }), branch('stock', 1)] }).then(
        ({ status }) => status,
        ({ code }: { code: string }) => code,
      );
    // The host has accepted the coordinator a moment after its registration.
    await expect.poll(run).toBe('committed');
    expect(books.balance).toBe(7);
    client.onApplicationShutdown();
    await host.app.close();
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
});

import { Agent, type IncomingMessage, request } from 'node:http';
import { type ClientGrpc, ClientProxyFactory } from '@nestjs/microservices';
import { type Observable, firstValueFrom } from 'rxjs';
import type { Vote } from '../../src/coordinator/index.js';
import { encodeCall, encodeMessage } from '../../src/remote/wire/index.js';
import { runOf } from '../../test/support/identity.js';
import { UnexpectedOutcomeError, type Contender } from '../framework/contender.js';
import { WORK, type Work } from '../memory/participants.js';
import { type Addresses, SERVICE_NAMES, type ServiceName, TOKEN, patternOf } from './services.js';
import {
  BARE_SERVICE,
  type MicroserviceName,
  type TransportName,
  bareGrpcClientOf,
  clientOf,
} from './transports.js';

/** The body of a bare request. */
export interface BareRequest {
  readonly id: string;
  readonly work: Work;
  /** Fills the body to the length of a message of the coordinator with one call. */
  readonly rest: string;
}

/** The answer of a bare service. */
export interface BareAnswer {
  readonly id: string;
  readonly kind: 'vote' | 'done';
  readonly vote?: Vote;
}

const COMMITTED = { status: 'committed' } as const;
const ID = 'benchmark.000000000000.1.';

/** Sends one step to one service. */
type Send = (request: BareRequest) => Promise<BareAnswer>;

/**
 * The floor: the same three requests in two rounds of `Promise.all`, as a team would write them by hand
 * without a coordinator. There is no time-out and no retry, and nothing is undone when one of them fails.
 */
export function bareRequests(transport: TransportName, addresses: Addresses): Contender {
  const { senders, close } = reach(transport, addresses);
  const [prepares, commits] = [senders('prepare'), senders('commit')];
  let started = 0;
  const run: Contender['run'] = async () => {
    const id = `${ID}${++started}`;
    const votes = await Promise.all(prepares.map((prepare, index) => prepare(requestOf(id, index))));
    if (votes.some(({ vote }) => vote !== 'commit')) throw new UnexpectedOutcomeError('floor', votes);
    await Promise.all(commits.map((commit, index) => commit(requestOf(id, index))));
    return COMMITTED;
  };
  return { name: 'floor', run, close };
}

interface Reached {
  readonly senders: (step: 'prepare' | 'commit') => Send[];
  readonly close: () => Promise<void>;
}

function reach(transport: TransportName, addresses: Addresses): Reached {
  if (transport === 'http') return overHttp(addresses);
  return transport === 'grpc' ? overGrpc(addresses) : overNest(transport, addresses);
}

function overHttp(addresses: Addresses): Reached {
  // Connections are kept open, as many as the requests need at the same time.
  const agents = SERVICE_NAMES.map(() => new Agent({ keepAlive: true }));
  return {
    senders: (step) =>
      SERVICE_NAMES.map((name, index) => poster(agents[index]!, new URL(`${addresses[name]}/${step}`))),
    close: async () => agents.forEach((agent) => agent.destroy()),
  };
}

/** A client of Nest for each service, with its one connection. */
function overNest(transport: Exclude<MicroserviceName, 'grpc'>, addresses: Addresses): Reached {
  const clients = SERVICE_NAMES.map((name) =>
    ClientProxyFactory.create(clientOf(transport, Number(addresses[name]), patternOf('bare', name))),
  );
  return {
    senders: (step) =>
      SERVICE_NAMES.map((name, index) => {
        const pattern = `${patternOf('bare', name)}.${step}`;
        const client = clients[index]!;
        return (request) => firstValueFrom(client.send<BareAnswer>(pattern, { ...request, token: TOKEN }));
      }),
    close: async () => {
      await Promise.all(clients.map(async (client) => client.close() as unknown));
    },
  };
}

/** The interface of a service of bare requests over gRPC. Its fields are texts. */
type BareService = Record<'prepare' | 'commit', (request: object) => Observable<BareAnswer>>;

function overGrpc(addresses: Addresses): Reached {
  const clients = SERVICE_NAMES.map((name) =>
    ClientProxyFactory.create(bareGrpcClientOf(Number(addresses[name]))),
  );
  return {
    senders: (step) =>
      clients.map((client) => {
        const service = (client as unknown as ClientGrpc).getService<BareService>(BARE_SERVICE);
        return ({ work, ...rest }) =>
          firstValueFrom(service[step]({ ...rest, work: JSON.stringify(work), token: TOKEN }));
      }),
    close: async () => {
      for (const client of clients) client.close();
    },
  };
}

const RESTS = SERVICE_NAMES.map((name) => restOf(name));

function requestOf(id: string, index: number): BareRequest {
  return { id, work: WORK, rest: RESTS[index]! };
}

/** @returns the characters that make a bare request as long as a message of the coordinator. */
function restOf(branchId: ServiceName): string {
  const id = `${ID}1`;
  const call = encodeCall({
    method: 'prepare',
    transactionId: id,
    branchId,
    attempt: 0,
    payloadText: JSON.stringify(WORK),
    timeLeftMs: 9_999,
  });
  const message = encodeMessage(branchId, { ...runOf(), name: 'benchmark' }, [call]);
  const bare = JSON.stringify({ id, work: WORK, rest: '' } satisfies BareRequest);
  return 'x'.repeat(message.length - bare.length);
}

function poster(agent: Agent, { hostname, port, pathname }: URL): Send {
  const target = { method: 'POST', agent, hostname, port, path: pathname };
  return (bare) =>
    new Promise((resolve, reject) => {
      const body = JSON.stringify(bare);
      const headers = {
        Authorization: `Bearer ${TOKEN}`,
        'Content-Type': 'application/json',
        'Content-Length': Buffer.byteLength(body),
      };
      const sent = request({ ...target, headers }, (response) => {
        read(response).then(resolve, reject);
      });
      sent.on('error', reject);
      sent.end(body);
    });
}

function read(response: IncomingMessage): Promise<BareAnswer> {
  return new Promise((resolve, reject) => {
    let text = '';
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => (text += chunk));
    response.on('error', reject);
    response.on('end', () => {
      if (response.statusCode === 200) resolve(JSON.parse(text) as BareAnswer);
      else reject(new Error(`${response.statusCode}: ${text}`));
    });
  });
}

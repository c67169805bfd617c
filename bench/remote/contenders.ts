import { branch } from '../../src/coordinator/index.js';
import { MicroserviceTransport } from '../../src/microservices/index.js';
import { type ParticipantTransport, RemoteParticipantsModule } from '../../src/remote/index.js';
import type { Contender } from '../framework/contender.js';
import { CoordinatorApplication } from '../framework/coordinator-application.js';
import { WORK } from '../memory/participants.js';
import { bareRequests } from './bare-requests.js';
import { type Addresses, SERVICE_NAMES, TOKEN, patternOf } from './services.js';
import { type TransportName, clientOf, grpcClientOf } from './transports.js';

/** The names of the contenders. */
export const CONTENDER_NAMES = ['floor', 'coordinator'] as const;
export type ContenderName = (typeof CONTENDER_NAMES)[number];

/** The addresses of the services. */
export interface RemoteSetup {
  readonly transport: TransportName;
  readonly addresses: Addresses;
}

/** Makes a contender over three services in processes of their own. */
export async function makeContender(
  name: ContenderName,
  { transport, addresses }: RemoteSetup,
): Promise<Contender> {
  switch (name) {
    case 'floor':
      return bareRequests(transport, addresses);
    case 'coordinator':
      return startCoordinator(transport, addresses);
  }
}

async function startCoordinator(transport: TransportName, addresses: Addresses): Promise<Contender> {
  const participants = SERVICE_NAMES.map((name) => ({
    name,
    address: addressOf(transport, addresses[name], patternOf('participant', name)),
  }));
  const remote = RemoteParticipantsModule.forRoot({ credentials: TOKEN, participants });
  const app = await CoordinatorApplication.start([], { name: 'benchmark' }, [remote]);
  return {
    name: 'coordinator',
    run: () =>
      app.transactions.run({
        name: 'benchmark',
        branches: SERVICE_NAMES.map((service) => branch(service, WORK)),
      }),
    close: () => app.close(),
  };
}

function addressOf(
  transport: TransportName,
  address: string,
  pattern: string,
): string | ParticipantTransport {
  if (transport === 'http') return address;
  const port = Number(address);
  const client = transport === 'grpc' ? grpcClientOf(port) : clientOf(transport, port, pattern);
  return new MicroserviceTransport({ client, credentials: TOKEN, pattern });
}

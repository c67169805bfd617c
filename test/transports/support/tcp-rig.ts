import { type MicroserviceOptions, Transport } from '@nestjs/microservices';
import { GRPC_HOST, type MicroserviceClientOptions } from '../../../src/microservices/index.js';
import { Balancer } from './balancer.js';
import { type Rig, behind, startMicroservice, startStrangeMicroservice, transportOver } from './rig.js';
import { freePort } from '../../../src/postgres-server/free-port.js';

interface AddressedRig extends Rig {
  readonly balancer: Balancer;
}

/** TCP, with a load balancer before the replicas. */
export function tcpRig(): AddressedRig {
  return addressed(
    'TCP',
    (port) => ({
      transport: Transport.TCP,
      options: { host: '127.0.0.1', port, maxBufferSize: 3 * 1024 * 1024 },
    }),
    (port) => ({ transport: Transport.TCP, options: { host: '127.0.0.1', port } }),
  );
}

/** gRPC, with a load balancer before the replicas. */
export function grpcRig(): AddressedRig {
  return addressed(
    'gRPC',
    (port) => ({ transport: Transport.GRPC, options: { ...GRPC_HOST, url: `127.0.0.1:${port}` } }),
    (port) => ({ transport: Transport.GRPC, options: { url: `127.0.0.1:${port}` } }),
  );
}

/** A transport whose hosts have an address. */
function addressed(
  name: string,
  server: (port: number) => MicroserviceOptions,
  client: (port: number) => MicroserviceClientOptions,
): AddressedRig {
  let balancer: Balancer;
  return {
    name,
    get balancer() {
      return balancer;
    },
    start: async () => {
      balancer = await Balancer.open();
    },
    host: async (participants, options) => {
      const port = await freePort();
      return behind(balancer, port, await startMicroservice(participants, server(port), options));
    },
    strangeHost: async (answer) => {
      const port = await freePort();
      return behind(balancer, port, await startStrangeMicroservice(answer, server(port)));
    },
    transport: (credentials) => transportOver(client(balancer.port), credentials),
    cut: async () => balancer.cut(),
    close: () => balancer.close(),
  };
}

import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { HttpTransport, type ParticipantTransport } from '../../../src/remote/index.js';
import { TOKEN, startHost } from '../../remote/support/services.js';
import { Balancer } from './balancer.js';
import { type Replica, type Rig, type StrangeCall, behind, callsOf } from './rig.js';

/** HTTP, with a load balancer before the replicas. */
export function httpRig(): Rig {
  let balancer: Balancer;
  return {
    name: 'HTTP',
    start: async () => {
      balancer = await Balancer.open();
    },
    host: async (participants, options) => {
      const { app, port } = await startHost(participants, { shutdownGraceMs: 50, ...options });
      return behind(balancer, port, { calls: () => callsOf(app), stop: () => app.close() });
    },
    strangeHost: async (answer) => {
      const { port, ...replica } = await strangeServer(answer);
      return behind(balancer, port, replica);
    },
    transport: (credentials = TOKEN): ParticipantTransport =>
      new HttpTransport(`http://127.0.0.1:${balancer.port}/participants`, { credentials }),
    cut: async () => balancer.cut(),
    close: () => balancer.close(),
  };
}

async function strangeServer(
  answer: (call: StrangeCall) => void,
): Promise<Replica & { readonly port: number }> {
  const server = createServer((request, response) => {
    let message = '';
    request.setEncoding('utf8');
    request.on('data', (text: string) => (message += text));
    request.on('end', () => {
      const type = { 'Content-Type': 'application/x-ndjson' };
      answer({
        message,
        answer: (...texts) => {
          if (!response.headersSent) response.writeHead(200, type);
          response.write(texts.map((text) => `${text}\n`).join(''));
        },
        say: (value) => response.end(JSON.stringify(value)),
        end: () => (response.headersSent ? response : response.writeHead(200, type)).end(),
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    calls: () => 0,
    stop: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

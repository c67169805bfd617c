import { Transport } from '@nestjs/microservices';
import { describe, expect, it } from 'vitest';
import { InvalidOptionsError } from '../coordinator/errors.js';
import { MicroserviceTransport } from './microservice-transport.js';
import type { MicroserviceTransportOptions } from './options.js';
import { ParticipantHostMicroserviceModule } from './participant-host-microservice.module.js';

const credentials = 'a-token-of-the-coordinator';
const client = { transport: Transport.TCP, options: { port: 1 } } as const;

describe('The options of a transport of Nest', () => {
  it.each<[option: string, given: object]>([
    ['client.transport', { client: { transport: Transport.KAFKA }, credentials }],
    ['client.transport', { credentials }],
    ['client.options.queue', { client: { transport: Transport.RMQ, options: {} }, credentials }],
    [
      'client.options.maxBufferSize',
      { client: { transport: Transport.TCP, options: { maxBufferSize: 128 * 1024 * 1024 } }, credentials },
    ],
    [
      'client.options.maxBufferSize',
      { client: { transport: Transport.TCP, options: { maxBufferSize: 1_000 } }, credentials },
    ],
    ['credentials', { client, credentials: 'short' }],
    ['pattern', { client, credentials, pattern: 'stock.*' }],
    ['retries', { client, credentials, retries: 3 }],
  ])('name %s when it is impossible, and quote no token', (option, given) => {
    const make = () => new MicroserviceTransport(given as MicroserviceTransportOptions);
    expect(make).toThrow(InvalidOptionsError);
    expect(make).toThrow(`${option}: `);
    expect(make).not.toThrow('short');
  });

  it.each<[address: string, client: MicroserviceTransportOptions['client']]>([
    ['tcp://stock:3001', { transport: Transport.TCP, options: { host: 'stock', port: 3001 } }],
    ['nats:stock.calls', { transport: Transport.NATS, options: { servers: 'nats://user:secret@nats:4222' } }],
    ['redis:stock.calls', { transport: Transport.REDIS, options: { password: 'secret' } }],
    [
      'rmq:stock',
      { transport: Transport.RMQ, options: { urls: ['amqp://user:secret@rabbit'], queue: 'stock' } },
    ],
    ['grpc://stock:50051', { transport: Transport.GRPC, options: { url: 'stock:50051' } }],
  ])('give the address %s, which has no password', async (address, given) => {
    const transport = new MicroserviceTransport({ client: given, credentials, pattern: 'stock.calls' });
    expect(transport.address).toBe(address);
    await transport.close();
    await expect(transport.send('{}', () => {}, 100)).rejects.toThrow('the transport is closed');
  });
});

describe('The options of the messages of a host', () => {
  it.each<[option: string, given: object]>([
    ['pattern', { pattern: 'stock calls' }],
    ['maxMessageBytes', { maxMessageBytes: 0 }],
    ['queue', { queue: 'stock' }],
  ])('name %s when it is impossible', (option, given) => {
    expect(() => ParticipantHostMicroserviceModule.forRoot(given)).toThrow(`${option}: `);
  });
});

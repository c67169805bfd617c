/** @module nestjs-dtc/microservices */
export type { CallKind, ParticipantTransport } from '../remote/transport.js';
export { type Credentials, credentialsFrom } from '../remote/wire/index.js';
export { GRPC_HOST } from './grpc-host.js';
export { NatsHostServer } from './nats-host-server.js';
export { type RabbitMqHostOptions, RabbitMqHostServer } from './rabbit-mq-host-server.js';
export { RedisHostServer } from './redis-host-server.js';
export { MicroserviceTransport } from './microservice-transport.js';
export type {
  GrpcClientOptions,
  MicroserviceClientOptions,
  MicroserviceTransportOptions,
} from './options.js';
export {
  ParticipantHostMicroserviceModule,
  type ParticipantHostMicroserviceOptions,
} from './participant-host-microservice.module.js';

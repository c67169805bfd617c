export type { CallKind, ParticipantTransport } from '../remote/transport.js';
export { type Credentials, credentialsFrom } from '../remote/wire/index.js';
export { GRPC_HOST } from './grpc-host.js';
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

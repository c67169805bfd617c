/** @module nestjs-dtc/remote */
export {
  AddressRefusedError,
  ParticipantNeededError,
  ParticipantUnreachableError,
  RemoteParticipantError,
} from './errors.js';
export { type TlsFiles, type TlsSettings, type TlsSource, tlsFrom } from '../hop/index.js';
export { HttpTransport, type HttpTransportOptions } from './http-transport.js';
export type {
  RemoteParticipantLimits,
  RemoteParticipantOptions,
  RemoteParticipantsOptions,
} from './options.js';
export { RegistrationFile, type RegistrationStore } from './registrations.js';
export { RemoteParticipants, type RemoteParticipantView } from './remote-participants.js';
export {
  type RemoteParticipantsAsyncOptions,
  RemoteParticipantsModule,
} from './remote-participants.module.js';
export type { CallKind, ParticipantTransport } from './transport.js';
export { type Credentials, credentialsFrom } from './wire/index.js';

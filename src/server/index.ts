/** @module nestjs-dtc/server */
export type { Credential } from '../operations/access/access.js';
export type { CredentialSource, ServerAccessOptions, ServerRole } from './access/server-access.js';
export {
  RequestKeyReusedError,
  OtherMemberError,
  OtherRunError,
  RegistrationClosedError,
  RoleNeededError,
  TooManyKeysError,
  TooManyWaitingError,
} from './errors.js';
export type {
  CoordinatorServerAsyncOptions,
  CoordinatorServerOptions,
  ServerLimits,
  ServerRoutes,
  ServerSettings,
} from './server.options.js';
export { CoordinatorServerModule } from './server.module.js';

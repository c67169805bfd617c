/** @module nestjs-dtc/rest-at */
export type { Credential } from '../operations/access/access.js';
export type {
  RestAtAsyncOptions,
  RestAtCalls,
  RestAtOptions,
  RestAtRoutes,
  RestAtSettings,
} from './options.js';
export { RestAtModule } from './rest-at.module.js';

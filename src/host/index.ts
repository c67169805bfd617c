/** @module nestjs-dtc/host */
export {
  type GuardWrite,
  type GuardedBranch,
  type LowWaterMark,
  MemoryReplicaGuardStore,
  type ReplicaGuardStore,
  type StoredGuardRecord,
  TryAgainError,
} from '../coordinator/guard/index.js';
export { InvalidOptionsError, InvalidParticipantError } from '../coordinator/errors.js';
export { Participant } from '../coordinator/participant/participant.decorator.js';
export type { ParticipantOptions } from '../coordinator/participant/participant.options.js';
export {
  type AbortVote,
  type Branch,
  type CoordinatorRun,
  HeuristicError,
  type OnePhaseAnswer,
  type PreparedBranch,
  type RefusalOptions,
  type TransactionParticipant,
  type Vote,
  branchKey,
  refuse,
} from '../coordinator/participant/participant.js';
export { type TlsFiles, type TlsSettings, type TlsSource, tlsFrom } from '../hop/index.js';
export { type Credentials, credentialsFrom } from '../remote/wire/index.js';
export type { CoordinatorContactOptions } from './coordinator-contact.js';
export type { HostCount } from './measurements.js';
export type { ParticipantHostOptions, ParticipantHostRoutes } from './options.js';
export { ParticipantHost, type ParticipantHostView } from './participant-host.js';
export { type ParticipantHostAsyncOptions, ParticipantHostModule } from './participant-host.module.js';

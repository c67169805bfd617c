/** @module nestjs-dtc/postgres */
export type { Batch } from './branch/batch.js';
export type { GivenWork } from './group/open-group.js';
export type { Work } from './branch/work.js';
export type { SqlOutbox } from '../sql/outbox.js';
export type { SqlParticipantBase, SqlResourceManager } from '../sql/participant.js';
export type { CoordinatorRun } from '../coordinator/participant/participant.js';
export {
  PostgresBranchError,
  type PostgresBranchErrorCode,
  PostgresStartUpError,
  type PostgresStartUpErrorCode,
} from './errors.js';
export type {
  PostgresConnection,
  PostgresOptions,
  PostgresPools,
  PostgresSettings,
  ResolvedPostgresSettings,
} from './options.js';
export { PostgresResourceManager } from './resource-manager.js';
export {
  PostgresBatchParticipant,
  PostgresParticipant,
  type PostgresParticipantBase,
  type PostgresParticipantOptions,
} from './participant.js';
export { type PostgresRefusalCode, isTemporaryRefusal } from './sqlstate.js';
export { PostgresLogError, type PostgresLogErrorCode } from './log/errors.js';
export type { PostgresDecisionLogOptions, PostgresLogSettings } from './log/options.js';
export { PostgresDecisionLog } from './log/postgres-decision-log.js';
export { PostgresGuardStore, type PostgresGuardStoreOptions } from './host/guard-store.js';
export { PostgresOutbox, type PostgresOutboxOptions } from './outbox/postgres-outbox.js';
export type { NewMessage, OutboxMessage } from '../outbox/message.js';
export type {
  AttemptResult,
  ClaimedMessage,
  DeadMessage,
  DeadMessageInFull,
  OutboxCounts,
  OutboxStore,
  RecordedAttempt,
} from '../outbox/store.js';
export type { OutboxStoreOptions } from '../outbox/store-options.js';

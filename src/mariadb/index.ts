/** @module nestjs-dtc/mariadb */
export type { Batch, BatchResult, BatchStatement } from './branch/batch.js';
export type { Work } from './branch/work.js';
export type { SqlOutbox } from '../sql/outbox.js';
export type { SqlParticipantBase, SqlResourceManager } from '../sql/participant.js';
export type { CoordinatorRun } from '../coordinator/participant/participant.js';
export {
  MariaDbBranchError,
  type MariaDbBranchErrorCode,
  MariaDbStartUpError,
  type MariaDbStartUpErrorCode,
} from './errors.js';
export { type MariaDbRefusalCode, isTemporaryMariaDbRefusal } from './errno.js';
export type { MariaDbOptions, MariaDbSettings, ResolvedMariaDbSettings } from './options.js';
export { MariaDbGuardStore, type MariaDbGuardStoreOptions } from './host/guard-store.js';
export { MariaDbResourceManager } from './resource-manager.js';
export {
  MariaDbBatchParticipant,
  MariaDbParticipant,
  type MariaDbParticipantBase,
  type MariaDbParticipantOptions,
} from './participant.js';
export { MariaDbOutbox, type MariaDbOutboxOptions } from './outbox/mariadb-outbox.js';
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

/** @module nestjs-dtc/outbox */
export type { Alarm, AlarmRegistry } from '../coordinator/observation/alarms/alarm.js';
export { type ClientMessageOptions, type MessageClient, emitWith, sendWith } from './clients.js';
export { OutboxError, type OutboxErrorCode } from './errors.js';
export type { NewMessage, OutboxMessage } from './message.js';
export type { MetricRegistry } from './metrics.js';
export type { RelaySettings } from './options.js';
export { OutboxModule } from './outbox.module.js';
export type { OutboxAsyncOptions, OutboxOptions } from './outbox.options.js';
export { OutboxRelays } from './outbox-relays.js';
export type { SendMessage } from './relay.js';
export type { OutboxHealth, OutboxStatus } from './status.js';
export type {
  AttemptResult,
  ClaimedMessage,
  DeadMessage,
  DeadMessageInFull,
  OutboxCounts,
  OutboxStore,
  RecordedAttempt,
} from './store.js';

export type { Awaitable } from './awaitable.js';
export type { GuardRecord, GuardStep, GuardStore } from './guard-store.js';
export { MemoryGuardStore, type MemoryGuardStoreOptions } from './memory-guard-store.js';
export {
  GuardCallError,
  GuardConflictError,
  GuardRunError,
  GuardStoreError,
  TransactionOverError,
  TryAgainError,
} from './guard-errors.js';
export type { OnePhaseSteps, ParticipantGuardOptions } from './guard-options.js';
export { ParticipantGuard } from './participant-guard.js';
export { MemoryReplicaGuardStore } from './memory-replica-guard-store.js';
export { type LateWork, ReplicaGuard, type ReplicaGuardOptions } from './replica-guard.js';
export {
  type GuardWrite,
  type GuardedBranch,
  type LowWaterMark,
  type PlaceInLog,
  type ReplicaGuardStore,
  type StoredGuardRecord,
  placeInLog,
} from './replica-guard-store.js';
export { voteIn } from './votes.js';

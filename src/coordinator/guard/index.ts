export type { Awaitable } from './awaitable.js';
export type { GuardRecord, GuardStep, GuardStore } from './guard-store.js';
export { MemoryGuardStore, type MemoryGuardStoreOptions } from './memory-guard-store.js';
export { GuardCallError, GuardConflictError, GuardRunError, GuardStoreError } from './guard-errors.js';
export type { OnePhaseSteps, ParticipantGuardOptions } from './guard-options.js';
export { ParticipantGuard } from './participant-guard.js';

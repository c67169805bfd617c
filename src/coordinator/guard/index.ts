export type { GuardRecord, GuardStore } from './guard-store.js';
export { MemoryGuardStore, type MemoryGuardStoreOptions } from './memory-guard-store.js';
export { GuardConflictError, ParticipantGuard } from './participant-guard.js';

export * from './branch-set.js';
export * from './completion.js';
export {
  awaitsConfirmation,
  awaitsRecord,
  confirmed,
  patienceEnded,
  recordAbsent,
  recorded,
} from './decision.js';
export type { ProtocolEffects } from './effects.js';
export * from './heuristics.js';
export * from './recovery.js';
export * from './states.js';
export * from './transaction.js';
export * from './transaction-id.js';
export * from './voting.js';

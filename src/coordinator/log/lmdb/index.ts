export { LmdbDecisionLog, type LmdbDecisionLogOptions } from './lmdb-decision-log.js';

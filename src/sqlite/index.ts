/** @module nestjs-dtc/sqlite */
export { SqliteDecisionLog, type SqliteDecisionLogOptions } from './sqlite-decision-log.js';

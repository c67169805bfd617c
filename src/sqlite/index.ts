export { SqliteDecisionLog, type SqliteDecisionLogOptions } from './sqlite-decision-log.js';

/** @module nestjs-dtc/pino */
export { type PinoDestination, PinoOutput } from './pino-output.js';
export { PinoTransactionLines, type PinoTransactionLinesOptions } from './pino-transaction-lines.js';

import type { TransactionEvents } from './transaction-events.js';
import type { TransactionLines } from './transaction-lines.js';

export const NO_LINES: TransactionLines = {
  isEnabled: () => false,
  isDebugEnabled: () => false,
  write() {},
  flush() {},
};

export const NO_EVENTS = {
  ended() {},
  told() {},
  stalled() {},
  heuristic() {},
} as unknown as TransactionEvents;

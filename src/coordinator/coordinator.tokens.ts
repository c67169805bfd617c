/** The coordinator's options with every default filled in. */
export const COORDINATOR_OPTIONS = Symbol('COORDINATOR_OPTIONS');
/** Receives the one line at the end of each transaction. */
export const TRANSACTION_LINES = Symbol('TRANSACTION_LINES');

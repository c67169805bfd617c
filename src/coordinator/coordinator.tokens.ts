/** The coordinator's options with every default filled in. */
export const COORDINATOR_OPTIONS = Symbol('COORDINATOR_OPTIONS');
/** The monotonic clock. */
export const CLOCK = Symbol('CLOCK');
/** The random numbers that jitter is made from. */
export const RANDOM = Symbol('RANDOM');
/** The decision log. */
export const DECISION_LOG = Symbol('DECISION_LOG');
/** Where the one line at the end of each transaction goes. */
export const TRANSACTION_LINES = Symbol('TRANSACTION_LINES');

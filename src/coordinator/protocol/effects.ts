import type { BranchSet } from './branch-set.js';
import type { StateNumber } from './states.js';
import type { ProtocolTransaction, ToldNumber } from './transaction.js';

/**
 * The only way out of the protocol core. An executor implements it. Where an effect is the last thing that an event
 * does (`prepare`, `commitOnePhase`, `record`, `commit`, `rollback`, `ended`), the state is complete and the next event
 * may be fed back from within it. From within the others (`entered`, `cancel`, `tell`, `stalled`) none may.
 *
 * An executor owes four duties:
 * 1. `record` makes the commit decision durable and then reports `recorded`. It reports `recordAbsent` only with
 *    proof that the record is not there and never will be. As long as it knows neither, it reports nothing.
 * 2. `prepare`, `commitOnePhase`, `commit` and `rollback` reach the participants, at least once for each
 *    call, and bring back every answer, however late, with the number of the round it belongs to.
 * 3. A completion is tried again until it is acknowledged. When its attempts are used up the executor reports
 *    `attemptsExhausted`, and goes on trying more slowly.
 * 4. Deadlines come back as events. The core has no clock.
 */
export interface ProtocolEffects<T extends ProtocolTransaction> {
  /** The transaction moved on from `from` to its present state. */
  entered(transaction: T, from: StateNumber): void;
  /** Ask every branch to prepare, all at once. */
  prepare(transaction: T): void;
  /** Ask the branch that decides by itself to commit in one phase. */
  commitOnePhase(transaction: T): void;
  /** Make the commit decision durable. */
  record(transaction: T): void;
  /** The answers of the prepares in flight are needed no longer: abort their signals. */
  cancel(transaction: T): void;
  /** Deliver commit to these branches. */
  commit(transaction: T, branches: BranchSet): void;
  /** Deliver rollback to these branches. */
  rollback(transaction: T, branches: BranchSet): void;
  /** Answer the caller. Called at most once for each transaction. */
  tell(transaction: T, told: ToldNumber): void;
  /** This branch used up its attempts. */
  stalled(transaction: T, branch: number): void;
  /**
   * No branch owes anything any more: the transaction is over. Called when it reaches its final state, and
   * again each time a late answer made one more rollback necessary and that was acknowledged.
   */
  ended(transaction: T): void;
}

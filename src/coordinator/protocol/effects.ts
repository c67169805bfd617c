import type { BranchSet } from './branch-set.js';
import type { StateNumber } from './states.js';
import type { ProtocolTransaction, Told } from './transaction.js';

/**
 * The only output of the protocol core. An executor implements it. Where an effect is the last action of an
 * event (`prepare`, `commitOnePhase`, `record`, `confirm`, `commit`, `rollback`, `ended`), the state is complete, and
 * the executor may deliver the next event from within the effect. From within the other effects (`entered`,
 * `cancel`, `tell`, `stalled`) it must not.
 *
 * An executor has five duties:
 * 1. `record` makes the commit decision durable and then reports `recorded`. It reports `recordAbsent` only
 *   with proof that the record does not exist and never will. As long as neither is known, it reports
 *   nothing.
 * 2. `prepare`, `commitOnePhase`, `commit` and `rollback` reach the participants at least once for each call,
 *   and report every answer, however late, with the number of its round.
 * 3. A completion is tried again until it is acknowledged. When its attempts are used up, the executor
 *   reports `attemptsExhausted`, and continues at longer intervals.
 * 4. Deadlines come back as events. The core has no clock.
 * 5. `confirm` makes a commit durable that a branch has decided, and then reports `confirmed`. It tries until it succeeds: the log
 *    has the record that names the branch until then.
 */
export interface ProtocolEffects<T extends ProtocolTransaction> {
  /** The transaction moved from `from` to its present state. */
  entered(transaction: T, from: StateNumber): void;
  /** Ask all branches to prepare at once, except a last resource. */
  prepare(transaction: T): void;
  /** Ask the branch that makes the decision to commit in one phase. */
  commitOnePhase(transaction: T): void;
  /** Make the commit decision durable. */
  record(transaction: T): void;
  /** A branch has decided to commit, and others wait for it: make the decision durable. */
  confirm(transaction: T): void;
  /** The answers of the running prepares are no longer needed: abort their signals. */
  cancel(transaction: T): void;
  /** Deliver commit to these branches. */
  commit(transaction: T, branches: BranchSet): void;
  /** Deliver rollback to these branches. */
  rollback(transaction: T, branches: BranchSet): void;
  /** Answer the caller. Called at most once for each transaction. */
  tell(transaction: T, told: Told): void;
  /** This branch has used up its attempts. */
  stalled(transaction: T, branch: number): void;
  /**
   * No branch owes an answer any more: the transaction has ended. Called when it reaches its final state, and
   * again after each further rollback that a late answer made necessary.
   */
  ended(transaction: T): void;
}

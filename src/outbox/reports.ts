import type { ClaimedMessage } from './store.js';

/** The purpose of a question to the store: to take messages, to keep their results, or to count and delete them. */
export type Errand = 'claim' | 'record' | 'chores';

/** The reports of a relay. */
export interface RelayReports {
  /** The store did not answer on an errand; `undefined`: it did. Called each time. */
  readonly trouble: (errand: Errand, problem: string | undefined) => void;
  /** A message is dead. */
  readonly dead: (message: ClaimedMessage, error: string) => void;
  /**
   * Messages have come so late that an attempt might end after their lease: the process stood still, or the answer of the database
   * was slow. They are not sent now, and are due again when their lease ends.
   */
  readonly late: (messages: number) => void;
  /** As many attempts hang as may be made at once, so that no further one is made. */
  readonly hanging: (attempts: number) => void;
}

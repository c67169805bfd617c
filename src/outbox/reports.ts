import type { ClaimedMessage } from './store.js';

/** What a relay reports. */
export interface RelayReports {
  /** The store did not answer; `undefined`: it did. Called each time. */
  readonly trouble: (problem: string | undefined) => void;
  /** A message is dead. */
  readonly dead: (message: ClaimedMessage, error: string) => void;
  /** As many attempts hang as may be made at once, so that no further one is made. */
  readonly hanging: (attempts: number) => void;
}

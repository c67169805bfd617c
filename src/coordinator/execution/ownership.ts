import type { LogClaim } from '../log/decision-log.js';

/** What this coordinator may decide: as long as nobody else has claimed its log, everything; afterwards, nothing. */
export class Ownership {
  readonly epoch: number;
  /** Whether no record of an earlier epoch means that there was no decision. */
  readonly durable: boolean;
  private lost = false;

  constructor({ epoch, durable }: LogClaim) {
    this.epoch = epoch;
    this.durable = durable;
  }

  /** Whether another coordinator has claimed the log. */
  get isLost(): boolean {
    return this.lost;
  }

  lose(): void {
    this.lost = true;
  }
}

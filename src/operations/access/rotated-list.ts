import type { Logger } from '@nestjs/common';
import { SafeLogger } from '../../coordinator/gate/safe-logger.js';
import type { Credential } from './access.js';

/** Credentials that may be rotated while the process runs. */
export class RotatedList {
  private readonly logger: Logger;
  private given: readonly Credential[];
  /** The problem of the latest list, which is logged once. */
  private problem: string | undefined;

  /**
   * @param source the list, or a function that returns the latest one: the same list, as long as nothing has
   * changed.
   * @param whose ends the sentence "The credentials of ...".
   * @param context of the log lines.
   */
  constructor(
    private readonly source: readonly Credential[] | (() => readonly Credential[]),
    private readonly whose: string,
    context: string,
  ) {
    this.logger = new SafeLogger(context);
    this.given = this.read();
  }

  get current(): readonly Credential[] {
    return this.given;
  }

  /**
   * @param use gets a list that was rotated. If it throws, the list cannot be used, and the one before stays
   * in force.
   */
  renew(use: (latest: readonly Credential[]) => void): void {
    try {
      const latest = this.read();
      if (latest !== this.given) {
        use(latest);
        this.given = latest;
      }
      this.problem = undefined;
    } catch (error) {
      const problem = error instanceof Error ? error.message : 'the list cannot be read';
      if (problem === this.problem) return;
      this.problem = problem;
      this.logger.warn(`The credentials of ${this.whose} stay as they were: ${problem}`);
    }
  }

  private read(): readonly Credential[] {
    return typeof this.source === 'function' ? this.source() : this.source;
  }
}

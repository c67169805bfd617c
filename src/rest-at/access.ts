import { Logger } from '@nestjs/common';
import { Access, type Credential } from '../operations/access/access.js';
import type { ResolvedRestAtOptions } from './options.js';

/** Decides who may use REST-AT. */
export class RestAtAccess {
  private readonly logger = new Logger('RestAtModule');
  private given: readonly Credential[] = [];
  private access: Access | undefined;
  /** What was wrong with the latest list, which is logged once. */
  private problem: string | undefined;

  /** @throws InvalidOptionsError when a credential is impossible. */
  constructor(private readonly callers: ResolvedRestAtOptions['callers']) {
    if (callers === 'anyone') return;
    this.given = typeof callers === 'function' ? callers() : callers;
    this.access = new Access({ readers: this.given });
  }

  /**
   * @param authorization the header of that name.
   * @throws UnauthenticatedError when there is no known token, and one is needed.
   */
  admit(authorization: string | undefined): void {
    if (typeof this.callers === 'function') this.renew(this.callers);
    this.access?.admit(authorization, 'reader');
  }

  /** A list that was rotated takes effect with the next request. One that cannot be used leaves the one before in force. */
  private renew(source: () => readonly Credential[]): void {
    try {
      const latest = source();
      if (latest !== this.given) {
        this.access = new Access({ readers: latest });
        this.given = latest;
      }
      this.problem = undefined;
    } catch (error) {
      const problem = error instanceof Error ? error.message : 'the list cannot be read';
      if (problem === this.problem) return;
      this.problem = problem;
      this.logger.warn(`The credentials of REST-AT stay as they were: ${problem}`);
    }
  }
}

import { ForbiddenException, Logger } from '@nestjs/common';
import { InvalidOptionsError } from '../coordinator/index.js';
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
    this.access = accessOf(this.given);
  }

  /**
   * @param authorization the header of that name, like `origin`.
   * @throws UnauthenticatedError when there is no known token, and one is needed. ForbiddenException for a page of a browser that
   * shows none: it may be of another site.
   */
  admit(authorization: string | undefined, origin: string | undefined): void {
    if (this.callers === 'anyone' && origin !== undefined)
      throw new ForbiddenException(
        'A page in a browser may not use REST-AT without a token, so nothing was done.',
      );
    if (typeof this.callers === 'function') this.renew(this.callers);
    this.access?.admit(authorization, 'reader');
  }

  /** A list that was rotated takes effect with the next request. One that cannot be used leaves the one before in force. */
  private renew(source: () => readonly Credential[]): void {
    try {
      const latest = source();
      if (latest !== this.given) {
        this.access = accessOf(latest);
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

/** @throws InvalidOptionsError when a credential is impossible. */
function accessOf(callers: readonly Credential[]): Access {
  try {
    return new Access({ readers: callers });
  } catch (error) {
    if (!(error instanceof InvalidOptionsError)) throw error;
    const problems = error.problems.map((problem) => problem.replace(/^readers/, 'callers'));
    throw new InvalidOptionsError('RestAtModule', problems);
  }
}

import { ForbiddenException } from '@nestjs/common';
import { InvalidOptionsError } from '../coordinator/index.js';
import { Access, type Credential } from '../operations/access/access.js';
import { RotatedList } from '../operations/access/rotated-list.js';
import type { ResolvedRestAtOptions } from './options.js';

/** Decides who may use REST-AT. */
export class RestAtAccess {
  private readonly list: RotatedList | undefined;
  private access: Access | undefined;

  /** @throws InvalidOptionsError when a credential is impossible. */
  constructor(callers: ResolvedRestAtOptions['callers']) {
    if (callers === 'anyone') return;
    this.list = new RotatedList(callers, 'REST-AT', 'RestAtModule');
    this.access = accessOf(this.list.current);
  }

  /**
   * @param authorization the header of that name, like `origin`.
   * @throws UnauthenticatedError when there is no known token, and one is needed. ForbiddenException for a
   * page of a browser that shows none: it may be of another site.
   */
  admit(authorization: string | undefined, origin: string | undefined): void {
    if (this.list === undefined && origin !== undefined)
      throw new ForbiddenException(
        'A page in a browser may not use REST-AT without a token, so nothing was done.',
      );
    this.list?.renew((latest) => (this.access = accessOf(latest)));
    this.access?.admit(authorization, 'reader');
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

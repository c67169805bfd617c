import { CoordinatorError } from '../../coordinator/index.js';

/** A route for operators was asked without a token, or with one that nobody has. @publicApi */
export class UnauthenticatedError extends CoordinatorError {
  readonly code = 'DTC_UNAUTHENTICATED';
}

/** Whoever sees may not act. @publicApi */
export class ForbiddenError extends CoordinatorError {
  readonly code = 'DTC_FORBIDDEN';

  constructor(readonly caller: string) {
    super(`${caller} may not do this, so nothing was done. Acting needs the rights of an operator.`);
  }
}

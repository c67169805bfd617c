import { CoordinatorError } from '../../coordinator/index.js';

/** A request to a route for operators without a valid token. @publicApi */
export class UnauthenticatedError extends CoordinatorError {
  readonly code = 'DTC_UNAUTHENTICATED';
}

/** The caller may read but not act. @publicApi */
export class ForbiddenError extends CoordinatorError {
  readonly code = 'DTC_FORBIDDEN';

  /** @param because why, in a sentence. @default the caller lacks the rights of an operator */
  constructor(
    readonly caller: string,
    because = 'Acting needs the rights of an operator.',
  ) {
    super(`${caller} may not do this, so nothing was done. ${because}`);
  }
}

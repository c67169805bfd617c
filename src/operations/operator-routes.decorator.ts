import { AccessGuard } from './access/access.guard.js';
import { GuardedRoutes } from './access/guarded-routes.decorator.js';

/** Routes for operators. */
export function OperatorRoutes(path: string): ClassDecorator {
  return GuardedRoutes(path, 'operations', AccessGuard);
}

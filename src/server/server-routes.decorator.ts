import { applyDecorators } from '@nestjs/common';
import { GuardedRoutes } from '../operations/access/guarded-routes.decorator.js';
import { ApiProblem } from '../operations/problem/api-problem.decorator.js';
import { ServerGuard } from './access/server.guard.js';

/** Routes for callers and participants. */
export function ServerRoutes(path: string): ClassDecorator {
  return applyDecorators(
    GuardedRoutes(path, 'transactions of callers', ServerGuard),
    ApiProblem(403, 'The token has another role'),
  );
}

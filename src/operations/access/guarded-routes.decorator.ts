import {
  type CanActivate,
  Controller,
  StandardSchemaValidationPipe,
  type Type,
  UseFilters,
  UseGuards,
  UsePipes,
  VERSION_NEUTRAL,
  applyDecorators,
} from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { ApiProblem } from '../problem/api-problem.decorator.js';
import { ProblemFilter } from '../problem/problem.filter.js';

/**
 * Routes that take tokens: guarded, with validated input, and problem+json for every error.
 *
 * @param tag under which the documentation lists them.
 */
export function GuardedRoutes(path: string, tag: string, guard: Type<CanActivate>): ClassDecorator {
  return applyDecorators(
    Controller({ path, version: VERSION_NEUTRAL }),
    ApiTags(tag),
    ApiBearerAuth(),
    UseGuards(guard),
    UsePipes(new StandardSchemaValidationPipe()),
    UseFilters(ProblemFilter),
    ApiProblem(401, 'A token is missing or unknown'),
  );
}

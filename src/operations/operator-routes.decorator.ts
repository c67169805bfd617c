import {
  Controller,
  StandardSchemaValidationPipe,
  UseFilters,
  UseGuards,
  UsePipes,
  VERSION_NEUTRAL,
  applyDecorators,
} from '@nestjs/common';
import { ApiBearerAuth, ApiTags } from '@nestjs/swagger';
import { ApiProblem } from './problem/api-problem.decorator.js';
import { ProblemFilter } from './problem/problem.filter.js';
import { AccessGuard } from './access/access.guard.js';

/** Routes for operators: guarded, with validated input, and problem+json for every error. */
export function OperatorRoutes(path: string): ClassDecorator {
  return applyDecorators(
    Controller({ path, version: VERSION_NEUTRAL }),
    ApiTags('operations'),
    ApiBearerAuth(),
    UseGuards(AccessGuard),
    UsePipes(new StandardSchemaValidationPipe()),
    UseFilters(ProblemFilter),
    ApiProblem(401, 'A token is missing or unknown'),
  );
}

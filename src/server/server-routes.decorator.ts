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
import { ApiProblem } from '../operations/problem/api-problem.decorator.js';
import { ProblemFilter } from '../operations/problem/problem.filter.js';
import { ServerGuard } from './access/server.guard.js';

/** Routes for callers and participants: guarded, with validated input, and problem+json for every error. */
export function ServerRoutes(path: string): ClassDecorator {
  return applyDecorators(
    Controller({ path, version: VERSION_NEUTRAL }),
    ApiTags('transactions of callers'),
    ApiBearerAuth(),
    UseGuards(ServerGuard),
    UsePipes(new StandardSchemaValidationPipe()),
    UseFilters(ProblemFilter),
    ApiProblem(401, 'A token is missing or unknown'),
    ApiProblem(403, 'The token has another role'),
  );
}

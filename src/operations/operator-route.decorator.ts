import { HttpCode, HttpStatus, applyDecorators } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import type { z } from 'zod';
import { ApiProblem } from './problem/api-problem.decorator.js';
import { ForOperators } from './access/access.guard.js';

/** A route for an action of an operator. It answers with the state after the action. */
export function OperatorRoute(summary: string, answer: z.ZodType): MethodDecorator {
  return applyDecorators(
    ForOperators(),
    HttpCode(HttpStatus.OK),
    ApiOperation({ summary }),
    ApiOkResponse({ standardSchema: answer }),
    ApiProblem(400, 'The request is not valid'),
    ApiProblem(403, 'The caller may read but not act'),
    ApiProblem(404, 'It is not known'),
    ApiProblem(409, 'It would change a decision, or is not possible in the present state'),
    ApiProblem(415, 'The body is not application/json'),
    ApiProblem(503, 'It cannot be recorded now, so nothing was done'),
  );
}

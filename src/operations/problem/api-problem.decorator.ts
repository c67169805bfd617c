import { ApiResponse } from '@nestjs/swagger';
import { z } from 'zod';
import { problemSchema } from './problem.js';

const { $schema: _, ...schema } = z.toJSONSchema(problemSchema, { target: 'openapi-3.0' });

/** Documents an error answer: a problem of RFC 9457. */
export function ApiProblem(status: number, description: string): MethodDecorator & ClassDecorator {
  return ApiResponse({
    status,
    description,
    content: { 'application/problem+json': { schema: schema as object } },
  });
}

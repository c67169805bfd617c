import { Controller, UseGuards, applyDecorators } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { ApiProblem } from '../operations/problem/api-problem.decorator.js';
import { DemoGuard } from './demo.guard.js';

/** Routes of a demonstration, for this machine alone. */
export function DemoRoutes(path: string): ClassDecorator {
  return applyDecorators(
    Controller(path),
    ApiTags('demo'),
    UseGuards(DemoGuard),
    ApiProblem(403, 'The request does not address this machine by a name of its own'),
  );
}

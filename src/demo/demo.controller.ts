import { Body, Delete, Get, HttpCode, HttpStatus, NotFoundException, Param, Put } from '@nestjs/common';
import { ApiNoContentResponse, ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { z } from 'zod';
import { ApiProblem } from '../operations/problem/api-problem.decorator.js';
import { DemoRoutes } from './demo-routes.decorator.js';
import { type Fault, faultSchema } from './fault.js';
import { Faults } from './faults.js';
import type { FaultyParticipant } from './faulty-participant.js';

const faultsSchema = z.strictObject({
  faults: z.record(z.string(), z.array(faultSchema)).describe('By participant.'),
});

/** Switches faults over HTTP. Part of an application only if it is started for demonstration. */
@DemoRoutes('demo/faults')
export class DemoController {
  constructor(private readonly faults: Faults) {}

  @Get()
  @ApiOperation({ summary: 'The faults that are switched on' })
  @ApiOkResponse({ standardSchema: faultsSchema })
  list(): z.output<typeof faultsSchema> {
    const faults = [...this.faults.all()].map(([name, participant]) => [name, participant.faults] as const);
    return { faults: Object.fromEntries(faults) };
  }

  @Put(':participant')
  @HttpCode(HttpStatus.NO_CONTENT)
  @ApiOperation({ summary: 'Make a method of a participant fail' })
  @ApiNoContentResponse({ description: 'It fails from its next call on' })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(404, 'No participant of this name is registered')
  switchOn(@Param('participant') name: string, @Body({ schema: faultSchema }) fault: Fault): void {
    this.participant(name).switchOn(fault);
  }

  @Delete(':participant')
  @HttpCode(HttpStatus.NO_CONTENT)
  @ApiOperation({ summary: 'Remove the fault of a participant' })
  @ApiNoContentResponse({ description: 'It works normally from its next call on' })
  @ApiProblem(404, 'No participant of this name is registered')
  repair(@Param('participant') name: string): void {
    this.participant(name).repair();
  }

  private participant(name: string): FaultyParticipant {
    const participant = this.faults.of(name);
    if (participant === undefined) throw new NotFoundException('No participant of this name is registered.');
    return participant;
  }
}

import { Body, Delete, Get, Put } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { z } from 'zod';
import { ApiProblem } from '../operations/problem/api-problem.decorator.js';
import { DemoRoutes } from './demo-routes.decorator.js';
import { type LoadPlan, type LoadState, SteadyLoad } from './steady-load.js';

const MOST_PER_SECOND = 50;
const ONE_DAY_SECONDS = 24 * 3_600;
/** Without databases, the shop keeps every order in memory. */
const MOST_ORDERS = 500_000;

const planSchema = z
  .strictObject({
    perSecond: z.number().min(0.1).max(MOST_PER_SECOND).default(5).describe('Orders in each second.'),
    forSeconds: z
      .number()
      .int()
      .min(1)
      .max(ONE_DAY_SECONDS)
      .default(3_600)
      .describe('After this time the traffic ends by itself.'),
  })
  .refine(({ perSecond, forSeconds }) => perSecond * forSeconds <= MOST_ORDERS, {
    path: ['forSeconds'],
    message: `times perSecond must be at most ${MOST_ORDERS} orders`,
  })
  .meta({ id: 'LoadPlan', examples: [{ perSecond: 5, forSeconds: 3_600 }] });

const count = z.number().int().min(0);

const loadSchema = z
  .strictObject({
    running: z.boolean(),
    plan: planSchema.nullable().describe('Null before the first traffic.'),
    endsAt: z.iso.datetime().nullable(),
    started: count.describe('The orders that were started.'),
    leftOut: count.describe('The orders that were not started, because too many were under way.'),
    open: count.describe('The orders under way.'),
    counts: z.strictObject({
      committed: count,
      aborted: count,
      pending: count.describe('Decided, and not complete when the customer was answered.'),
      heuristic: count,
      refused: count.describe('Refused before anything was done.'),
    }),
    restocks: count.describe('How often supplies had run dry and were filled up.'),
    lastRefusal: z.string().nullable().describe('Why an order was refused last.'),
  })
  .meta({ id: 'Load' });

/** Steady traffic of orders. */
@DemoRoutes('demo/load')
export class LoadController {
  constructor(private readonly load: SteadyLoad) {}

  @Get()
  @ApiOperation({ summary: 'The steady traffic, now or last' })
  @ApiOkResponse({ standardSchema: loadSchema })
  find(): LoadState {
    return this.load.state;
  }

  @Put()
  @ApiOperation({ summary: 'Start steady traffic, in place of one that runs' })
  @ApiOkResponse({ standardSchema: loadSchema })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(503, 'The first supplies could not be delivered, so nothing was started')
  async start(@Body({ schema: planSchema }) plan: LoadPlan): Promise<LoadState> {
    await this.load.start(plan);
    return this.load.state;
  }

  @Delete()
  @ApiOperation({ summary: 'End the traffic. Orders under way are completed' })
  @ApiOkResponse({ standardSchema: loadSchema })
  stop(): LoadState {
    this.load.stop();
    return this.load.state;
  }
}

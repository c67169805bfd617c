import { Put } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { z } from 'zod';
import { money, moneySchema } from '../common/money.js';
import { ApiProblem } from '../operations/problem/api-problem.decorator.js';
import { DemoRoutes } from './demo-routes.decorator.js';
import { Supplies } from './supplies.js';

const restockedSchema = z
  .strictObject({
    pieces: z.number().int().min(0).describe('How many pieces were delivered.'),
    paidIn: moneySchema.describe('How much money was paid in.'),
  })
  .meta({ id: 'Restocked' });

/** Fills up the stock and the accounts. */
@DemoRoutes('demo/supplies')
export class SuppliesController {
  constructor(private readonly supplies: Supplies) {}

  @Put()
  @ApiOperation({ summary: 'Fill up the stock of every product and the account of every customer' })
  @ApiOkResponse({
    standardSchema: restockedSchema,
    description: 'What was added. What an open order holds is filled up by a later request',
  })
  @ApiProblem(503, 'A database does not answer: try again')
  async restock(): Promise<z.output<typeof restockedSchema>> {
    const { pieces, cents } = await this.supplies.restock();
    return { pieces, paidIn: money(cents) };
  }
}

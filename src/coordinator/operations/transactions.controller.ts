import {
  Controller,
  Get,
  Param,
  Query,
  StandardSchemaValidationPipe,
  UseFilters,
  UsePipes,
} from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { z } from 'zod';
import { ApiProblem } from '../../common/api-problem.decorator.js';
import { ProblemFilter } from '../../common/problem.filter.js';
import { TransactionNotFoundError } from '../errors.js';
import type { TransactionView } from '../observation/transaction-view.js';
import { STATES } from '../protocol/index.js';
import { TransactionManager } from '../transaction-manager.js';
import { transactionListSchema, transactionSchema } from './view.schemas.js';

const listQuery = z.strictObject({
  state: z.enum(STATES).optional(),
  stalled: z.enum(['true', 'false']).optional(),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

type ListQuery = z.output<typeof listQuery>;

/** Transactions as they are now, and those that ended not long ago. */
@ApiTags('operations')
@Controller('transactions')
@UsePipes(new StandardSchemaValidationPipe())
@UseFilters(ProblemFilter)
export class TransactionsController {
  constructor(private readonly transactions: TransactionManager) {}

  /** The youngest first. */
  @Get()
  @ApiOperation({ summary: 'Transactions in flight, and those that ended not long ago, the youngest first' })
  @ApiOkResponse({ standardSchema: transactionListSchema })
  @ApiProblem(400, 'The request is not valid')
  list(@Query({ schema: listQuery }) query: ListQuery): { transactions: TransactionView[] } {
    const { state, stalled, limit } = query;
    const found = this.transactions.list({
      limit,
      ...(state !== undefined && { state }),
      ...(stalled !== undefined && { stalled: stalled === 'true' }),
    });
    return { transactions: found };
  }

  @Get(':id')
  @ApiOperation({ summary: 'One transaction, with its branches and its timeline' })
  @ApiOkResponse({ standardSchema: transactionSchema })
  @ApiProblem(404, 'It never began, or ended and is no longer kept')
  find(@Param('id') id: string): TransactionView {
    const found = this.transactions.find(id);
    if (found === undefined) throw new TransactionNotFoundError(id);
    return found;
  }
}

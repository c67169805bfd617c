import {
  Controller,
  Get,
  Param,
  Query,
  StandardSchemaValidationPipe,
  UseFilters,
  UsePipes,
} from '@nestjs/common';
import { z } from 'zod';
import { ProblemFilter } from '../../common/problem.filter.js';
import { TransactionNotFoundError } from '../errors.js';
import type { TransactionView } from '../observation/transaction-view.js';
import { STATES } from '../protocol/index.js';
import { TransactionManager } from '../transaction-manager.js';

const listQuery = z
  .strictObject({
    state: z.enum(STATES).optional(),
    stalled: z.enum(['true', 'false']).optional(),
    limit: z.coerce.number().int().min(1).max(1_000).default(100),
  })
  .meta({ id: 'TransactionListQuery' });

type ListQuery = z.output<typeof listQuery>;

/** Transactions as they are now, and those that ended not long ago. */
@Controller('transactions')
@UsePipes(new StandardSchemaValidationPipe())
@UseFilters(ProblemFilter)
export class TransactionsController {
  constructor(private readonly transactions: TransactionManager) {}

  /** The youngest first. */
  @Get()
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
  find(@Param('id') id: string): TransactionView {
    const found = this.transactions.find(id);
    if (found === undefined) throw new TransactionNotFoundError(id);
    return found;
  }
}

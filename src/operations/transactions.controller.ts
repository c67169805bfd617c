import { Body, Get, Param, Post, Query, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { ApiProblem } from './problem/api-problem.decorator.js';
import {
  OperatorActions,
  TransactionManager,
  TransactionNotFoundError,
  type TransactionView,
} from '../coordinator/index.js';
import type { Caller } from './access/access.js';
import { CalledBy } from './access/access.guard.js';
import { OperatorRoute } from './operator-route.decorator.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { Reply } from './reply.js';
import {
  type ListQuery,
  type OrderBody,
  type ResolutionBody,
  filterOf,
  listQuery,
  orderBody,
  orderOf,
  resolutionBody,
} from './request.schemas.js';
import { transactionListSchema, transactionSchema } from './view.schemas.js';

/** Transactions in their present state, those that ended not long ago, and the actions of an operator. */
@OperatorRoutes('transactions')
export class TransactionsController {
  constructor(
    private readonly transactions: TransactionManager,
    private readonly actions: OperatorActions,
    private readonly reply: Reply,
  ) {}

  @Get()
  @ApiOperation({ summary: 'Transactions in flight, and those that ended not long ago, page by page' })
  @ApiOkResponse({ standardSchema: transactionListSchema })
  @ApiProblem(400, 'The request is not valid')
  list(@Query({ schema: listQuery }) query: ListQuery, @Res() response: unknown): void {
    this.reply.send(response, this.transactions.page(filterOf(query)));
  }

  @Get(':id')
  @ApiOperation({ summary: 'One transaction, with its branches and its timeline' })
  @ApiOkResponse({ standardSchema: transactionSchema })
  @ApiProblem(404, 'It was never begun, or has ended and is no longer kept')
  find(@Param('id') id: string, @Res() response: unknown): void {
    this.reply.send(response, this.transactionOf(id));
  }

  @Post(':id/abort')
  @OperatorRoute('Abort a transaction that is not decided', transactionSchema)
  async abort(
    @Param('id') id: string,
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    await this.actions.abort(id, orderOf(body, caller));
    this.reply.send(response, this.transactionOf(id));
  }

  @Post(':id/forget')
  @OperatorRoute(
    'Drop the heuristic reports of a transaction, after an operator has dealt with them',
    transactionSchema,
  )
  async forget(
    @Param('id') id: string,
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const before = this.transactionOf(id);
    await this.actions.forget(id, orderOf(body, caller));
    // With its reports goes what has kept it, where no finished transaction is kept.
    this.reply.send(response, this.transactions.find(id) ?? { ...before, heuristic: null });
  }

  @Post(':id/branches/:branchId/retry')
  @OperatorRoute('Try to complete a branch now', transactionSchema)
  async retry(
    @Param('id') id: string,
    @Param('branchId') branchId: string,
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    await this.actions.retry(id, branchId, orderOf(body, caller));
    this.reply.send(response, this.transactionOf(id));
  }

  @Post(':id/branches/:branchId/resolve')
  @OperatorRoute('Record how a stalled branch has ended, according to an operator', transactionSchema)
  async resolve(
    @Param('id') id: string,
    @Param('branchId') branchId: string,
    @Body({ schema: resolutionBody }) body: ResolutionBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const before = this.transactionOf(id);
    await this.actions.resolve(id, branchId, body.as, orderOf(body, caller));
    this.reply.send(response, this.transactions.find(id) ?? before);
  }

  private transactionOf(id: string): TransactionView {
    const found = this.transactions.find(id);
    if (found === undefined) throw new TransactionNotFoundError(id);
    return found;
  }
}

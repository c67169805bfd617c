import { Body, Get, HttpCode, HttpStatus, Param, Post, Query, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { ApiProblem } from './problem/api-problem.decorator.js';
import type { Caller } from './access/access.js';
import { CalledBy, ForOperators } from './access/access.guard.js';
import { Exports, csvOf } from './export.js';
import { GroupActions } from './group-actions.js';
import { AnyMember } from './members/any-member.js';
import { OperatorRoute } from './operator-route.decorator.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { Reply } from './reply.js';
import {
  type ExportQuery,
  type GroupBody,
  type ListQuery,
  type OrderBody,
  type ResolutionBody,
  exportQuery,
  filterOf,
  groupBody,
  listQuery,
  orderBody,
  orderOf,
  selectedBy,
  resolutionBody,
} from './request.schemas.js';
import {
  foundTransactionSchema,
  groupResultSchema,
  ownedTransactionSchema,
  transactionListSchema,
} from './view.schemas.js';

/** Transactions of all members in their present state, those that ended not long ago, and the actions of an operator. */
@OperatorRoutes('transactions')
export class TransactionsController {
  constructor(
    private readonly anyMember: AnyMember,
    private readonly group: GroupActions,
    private readonly exports: Exports,
    private readonly reply: Reply,
  ) {}

  @Get()
  @ApiOperation({ summary: 'Transactions in flight, and those that ended not long ago, page by page' })
  @ApiOkResponse({ standardSchema: transactionListSchema })
  @ApiProblem(400, 'The request is not valid')
  async list(@Query({ schema: listQuery }) query: ListQuery, @Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.anyMember.list(filterOf(query)));
  }

  @Get('export')
  @ApiOperation({ summary: 'All transactions that match, at most 5,000, as one file: CSV or JSON' })
  @ApiOkResponse({
    content: {
      'application/json': { schema: { type: 'object' } },
      'text/csv': { schema: { type: 'string' } },
    },
  })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(503, 'Two exports are under way: wait as long as Retry-After says')
  async export(@Query({ schema: exportQuery }) query: ExportQuery, @Res() response: unknown): Promise<void> {
    const { format, ...selection } = query;
    const found = await this.exports.collect(selectedBy(selection));
    const name = `transactions-${found.at.replaceAll(/[-:]|\..*/g, '')}.${format}`;
    this.reply.header(response, 'Content-Disposition', `attachment; filename="${name}"`);
    if (format === 'csv') this.reply.header(response, 'Content-Type', 'text/csv; charset=utf-8');
    this.reply.send(response, format === 'csv' ? csvOf(found) : found);
  }

  @Post('actions')
  @ForOperators()
  @HttpCode(HttpStatus.OK)
  @ApiOperation({
    summary:
      'One action for up to 200 transactions or branches: how many are done, and why the others are not',
  })
  @ApiOkResponse({ standardSchema: groupResultSchema })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(403, 'The caller may read but not act')
  @ApiProblem(415, 'The body is not application/json')
  async actOnGroup(
    @Body({ schema: groupBody }) body: GroupBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    this.reply.send(response, await this.group.act(body, orderOf(body, caller)));
  }

  @Get(':id')
  @ApiOperation({
    summary: 'One transaction, with its branches and its timeline; or its outcome, if only that is known',
  })
  @ApiOkResponse({ standardSchema: foundTransactionSchema })
  @ApiProblem(404, 'It was never begun, or has ended and is no longer kept')
  @ApiProblem(503, 'It is not known now, and may have committed: ask again later')
  async find(@Param('id') id: string, @Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.anyMember.find(id));
  }

  @Post(':id/abort')
  @OperatorRoute('Abort a transaction that is not decided', ownedTransactionSchema)
  async abort(
    @Param('id') transactionId: string,
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const action = { kind: 'abort', transactionId, ...orderOf(body, caller) } as const;
    this.reply.send(response, await this.anyMember.actOn(action));
  }

  @Post(':id/forget')
  @OperatorRoute(
    'Drop the heuristic reports of a transaction, after an operator has dealt with them',
    ownedTransactionSchema,
  )
  async forget(
    @Param('id') transactionId: string,
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const action = { kind: 'forget', transactionId, ...orderOf(body, caller) } as const;
    this.reply.send(response, await this.anyMember.actOn(action));
  }

  @Post(':id/branches/:branchId/retry')
  @OperatorRoute('Try to complete a branch now', ownedTransactionSchema)
  async retry(
    @Param('id') transactionId: string,
    @Param('branchId') branchId: string,
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const action = { kind: 'retry', transactionId, branchId, ...orderOf(body, caller) } as const;
    this.reply.send(response, await this.anyMember.actOn(action));
  }

  @Post(':id/branches/:branchId/forget')
  @OperatorRoute(
    'Drop the heuristic report of one branch, after an operator has dealt with it',
    ownedTransactionSchema,
  )
  async forgetReport(
    @Param('id') transactionId: string,
    @Param('branchId') branchId: string,
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const action = { kind: 'forget-report', transactionId, branchId, ...orderOf(body, caller) } as const;
    this.reply.send(response, await this.anyMember.actOn(action));
  }

  @Post(':id/branches/:branchId/resolve')
  @OperatorRoute('Record how a stalled branch has ended, according to an operator', ownedTransactionSchema)
  async resolve(
    @Param('id') transactionId: string,
    @Param('branchId') branchId: string,
    @Body({ schema: resolutionBody }) { as, ...body }: ResolutionBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const action = { kind: 'resolve', transactionId, branchId, as, ...orderOf(body, caller) } as const;
    this.reply.send(response, await this.anyMember.actOn(action));
  }
}

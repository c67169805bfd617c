import { Body, Get, Post, Query, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { ApiProblem } from './problem/api-problem.decorator.js';
import { CoordinatorStatus, OperatorActions } from '../coordinator/index.js';
import type { Caller } from './access/access.js';
import { CalledBy } from './access/access.guard.js';
import { auditPage } from './audit-page.js';
import { OperatorRoute } from './operator-route.decorator.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { Reply } from './reply.js';
import { type AuditQuery, type OrderBody, auditQuery, orderBody, orderOf } from './request.schemas.js';
import { auditSchema, callerSchema, coordinatorSchema } from './view.schemas.js';

/** The coordinator itself, the orders of operators, and the caller's own rights. */
@OperatorRoutes('')
export class CoordinatorController {
  constructor(
    private readonly status: CoordinatorStatus,
    private readonly actions: OperatorActions,
    private readonly reply: Reply,
  ) {}

  @Get('coordinator')
  @ApiOperation({ summary: 'The condition of the coordinator, and its statistics since the start' })
  @ApiOkResponse({ standardSchema: coordinatorSchema })
  view(@Res() response: unknown): void {
    this.reply.send(response, this.status.view());
  }

  @Post('coordinator/drain')
  @OperatorRoute('Admit no new transaction; running transactions continue', coordinatorSchema)
  async drain(
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    await this.actions.drain(orderOf(body, caller));
    this.reply.send(response, this.status.view());
  }

  @Post('coordinator/undrain')
  @OperatorRoute('Admit new transactions again', coordinatorSchema)
  async undrain(
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    await this.actions.undrain(orderOf(body, caller));
    this.reply.send(response, this.status.view());
  }

  @Get('audit')
  @ApiOperation({ summary: 'The orders of operators, the latest first, page by page' })
  @ApiOkResponse({ standardSchema: auditSchema })
  @ApiProblem(400, 'The request is not valid')
  audit(@Query({ schema: auditQuery }) query: AuditQuery, @Res() response: unknown): void {
    this.reply.send(response, auditPage(this.actions, query));
  }

  @Get('access')
  @ApiOperation({ summary: 'The caller and its rights' })
  @ApiOkResponse({ standardSchema: callerSchema })
  access(@CalledBy() caller: Caller, @Res() response: unknown): void {
    this.reply.send(response, caller);
  }
}

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

/** The coordinator itself, what operators have ordered, and who asks. */
@OperatorRoutes('')
export class CoordinatorController {
  constructor(
    private readonly status: CoordinatorStatus,
    private readonly actions: OperatorActions,
    private readonly reply: Reply,
  ) {}

  @Get('coordinator')
  @ApiOperation({ summary: 'How the coordinator is, and what has happened since its start' })
  @ApiOkResponse({ standardSchema: coordinatorSchema })
  view(@Res() response: unknown): void {
    this.reply.send(response, this.status.view());
  }

  @Post('coordinator/drain')
  @OperatorRoute('Take no new transaction; what is in flight goes on', coordinatorSchema)
  async drain(
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    await this.actions.drain(orderOf(body, caller));
    this.reply.send(response, this.status.view());
  }

  @Post('coordinator/undrain')
  @OperatorRoute('Take new transactions again', coordinatorSchema)
  async undrain(
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    await this.actions.undrain(orderOf(body, caller));
    this.reply.send(response, this.status.view());
  }

  @Get('audit')
  @ApiOperation({ summary: 'What operators have ordered, the youngest first, page by page' })
  @ApiOkResponse({ standardSchema: auditSchema })
  @ApiProblem(400, 'The request is not valid')
  audit(@Query({ schema: auditQuery }) query: AuditQuery, @Res() response: unknown): void {
    this.reply.send(response, auditPage(this.actions, query));
  }

  @Get('access')
  @ApiOperation({ summary: 'Who asks, and what they may do' })
  @ApiOkResponse({ standardSchema: callerSchema })
  access(@CalledBy() caller: Caller, @Res() response: unknown): void {
    this.reply.send(response, caller);
  }
}

import { Body, Get, Post, Query, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { ApiProblem } from './problem/api-problem.decorator.js';
import { CoordinatorMembers, CoordinatorStatus, History, OperatorActions } from '../coordinator/index.js';
import type { Caller } from './access/access.js';
import { CalledBy } from './access/access.guard.js';
import { auditPage } from './audit-page.js';
import { Links } from './links.js';
import { historyPage } from './history-page.js';
import { AnyMember } from './members/any-member.js';
import { MemberWatch } from './members/member-watch.js';
import { MAX_ALARMS } from './members/own-answers.js';
import { OperatorRoute } from './operator-route.decorator.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { Reply } from './reply.js';
import {
  type AuditQuery,
  type MemberOrderBody,
  auditQuery,
  memberOrderBody,
  orderOf,
} from './request.schemas.js';
import {
  attentionSchema,
  auditSchema,
  callerSchema,
  coordinatorSchema,
  historySchema,
  linksSchema,
  membersSchema,
} from './view.schemas.js';

/** The coordinator itself, the orders of operators, and the caller's own rights. */
@OperatorRoutes('')
export class CoordinatorController {
  constructor(
    private readonly status: CoordinatorStatus,
    private readonly history: History,
    private readonly actions: OperatorActions,
    private readonly anyMember: AnyMember,
    private readonly watch: MemberWatch,
    private readonly members: CoordinatorMembers,
    private readonly links: Links,
    private readonly reply: Reply,
  ) {}

  @Get('coordinator')
  @ApiOperation({ summary: 'The condition of the coordinator, and its statistics since the start' })
  @ApiOkResponse({ standardSchema: coordinatorSchema })
  view(@Res() response: unknown): void {
    this.reply.send(response, this.status.view());
  }

  @Get('history')
  @ApiOperation({ summary: 'The last hour of this member, one point for five seconds' })
  @ApiOkResponse({ standardSchema: historySchema })
  lastHour(@Res() response: unknown): void {
    this.reply.send(response, historyPage(this.history, this.actions));
  }

  @Get('attention')
  @ApiOperation({
    summary:
      'What is wrong now, the most urgent first: one alarm for each participant and cause, and for each condition',
  })
  @ApiOkResponse({ standardSchema: attentionSchema })
  async attention(@Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.watch.attention(MAX_ALARMS));
  }

  @Post('coordinator/drain')
  @OperatorRoute(
    'Admit no new transaction, at this member or at another; running transactions continue',
    coordinatorSchema,
  )
  async drain(
    @Body({ schema: memberOrderBody }) body: MemberOrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const action = { kind: 'drain', ...orderOf(body, caller) } as const;
    this.reply.send(response, await this.anyMember.admit(action, body.member));
  }

  @Post('coordinator/undrain')
  @OperatorRoute('Admit new transactions again, at this member or at another', coordinatorSchema)
  async undrain(
    @Body({ schema: memberOrderBody }) body: MemberOrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const action = { kind: 'undrain', ...orderOf(body, caller) } as const;
    this.reply.send(response, await this.anyMember.admit(action, body.member));
  }

  @Get('members')
  @ApiOperation({ summary: 'The members that share the log: their epochs, leases, adoptions and condition' })
  @ApiOkResponse({ standardSchema: membersSchema })
  async membersNow(@Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.watch.now());
  }

  @Get('audit')
  @ApiOperation({
    summary:
      'The orders of operators, the latest first, page by page; of all, or those that concern one transaction',
  })
  @ApiOkResponse({ standardSchema: auditSchema })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(503, 'The decision log does not answer')
  async audit(@Query({ schema: auditQuery }) query: AuditQuery, @Res() response: unknown): Promise<void> {
    this.reply.send(response, await auditPage(this.actions, this.members.isShared, query));
  }

  @Get('links')
  @ApiOperation({
    summary: 'The links of a transaction to other tools, with placeholders, and to pages of the application',
  })
  @ApiOkResponse({ standardSchema: linksSchema })
  templates(@Res() response: unknown): void {
    this.reply.send(response, { links: this.links.templates, pages: this.links.pages });
  }

  @Get('access')
  @ApiOperation({ summary: 'The caller and its rights' })
  @ApiOkResponse({ standardSchema: callerSchema })
  access(@CalledBy() caller: Caller, @Res() response: unknown): void {
    this.reply.send(response, caller);
  }
}

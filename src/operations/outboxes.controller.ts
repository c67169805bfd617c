import { Body, Get, Param, Post, Query, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import type { Caller } from './access/access.js';
import { CalledBy, ForReadingOperators } from './access/access.guard.js';
import {
  type DeadQuery,
  type MessagesBody,
  deadDetailSchema,
  deadPageSchema,
  deadQuery,
  messageId,
  messageResultSchema,
  messagesBody,
  outboxesSchema,
} from './outboxes/outbox.schemas.js';
import { Outboxes } from './outboxes/outboxes.js';
import { OperatorRoute } from './operator-route.decorator.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { ApiProblem } from './problem/api-problem.decorator.js';
import { Reply } from './reply.js';
import { orderOf } from './request.schemas.js';

/** The messages of committed transactions, and those of them that are not sent by themselves any more. */
@OperatorRoutes('outboxes')
export class OutboxesController {
  constructor(
    private readonly outboxes: Outboxes,
    private readonly reply: Reply,
  ) {}

  @Get()
  @ApiOperation({ summary: 'The outboxes of this process, with the numbers of their messages' })
  @ApiOkResponse({ standardSchema: outboxesSchema })
  list(@Res() response: unknown): void {
    this.reply.send(response, { outboxes: this.outboxes.list() });
  }

  @Get(':outbox/dead')
  @ApiOperation({ summary: 'The dead messages of an outbox, page by page, without what they say' })
  @ApiOkResponse({ standardSchema: deadPageSchema })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(404, 'There is no such outbox')
  @ApiProblem(503, 'Its database does not answer')
  async dead(
    @Param('outbox') outbox: string,
    @Query({ schema: deadQuery }) { limit, cursor }: DeadQuery,
    @Res() response: unknown,
  ): Promise<void> {
    this.reply.send(response, await this.outboxes.dead(outbox, limit, cursor));
  }

  @Get(':outbox/dead/:id')
  @ForReadingOperators()
  @ApiOperation({ summary: 'A dead message with what it says, for operators only' })
  @ApiOkResponse({ standardSchema: deadDetailSchema })
  @ApiProblem(400, 'The request is not valid')
  @ApiProblem(403, 'The caller may not see what messages say')
  @ApiProblem(404, 'There is no such outbox, or no such dead message')
  @ApiProblem(503, 'Its database does not answer')
  async find(
    @Param('outbox') outbox: string,
    @Param('id', { schema: messageId }) id: string,
    @Res() response: unknown,
  ): Promise<void> {
    this.reply.send(response, await this.outboxes.find(outbox, id));
  }

  @Post(':outbox/resend')
  @OperatorRoute('Send dead messages again, with all their attempts', messageResultSchema)
  async resend(
    @Param('outbox') outbox: string,
    @Body({ schema: messagesBody }) body: MessagesBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const { ids } = body;
    this.reply.send(response, await this.outboxes.act('resend', outbox, ids, orderOf(body, caller)));
  }

  @Post(':outbox/discard')
  @OperatorRoute('Delete dead messages: they are never sent', messageResultSchema)
  async discard(
    @Param('outbox') outbox: string,
    @Body({ schema: messagesBody }) body: MessagesBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const { ids } = body;
    this.reply.send(response, await this.outboxes.act('discard', outbox, ids, orderOf(body, caller)));
  }
}

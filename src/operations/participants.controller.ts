import { Body, Get, Param, Post, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { CoordinatorStatus, OperatorActions } from '../coordinator/index.js';
import type { Caller } from './access/access.js';
import { CalledBy } from './access/access.guard.js';
import { OperatorRoute } from './operator-route.decorator.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { Reply } from './reply.js';
import { type OrderBody, orderBody, orderOf } from './request.schemas.js';
import { participantListSchema, participantSchema } from './view.schemas.js';

/** The participants that transactions can name, with their counts. */
@OperatorRoutes('participants')
export class ParticipantsController {
  constructor(
    private readonly status: CoordinatorStatus,
    private readonly actions: OperatorActions,
    private readonly reply: Reply,
  ) {}

  @Get()
  @ApiOperation({ summary: 'The participants, with their options and counts' })
  @ApiOkResponse({ standardSchema: participantListSchema })
  list(@Res() response: unknown): void {
    this.reply.send(response, { participants: this.status.participants() });
  }

  @Post(':name/pause')
  @OperatorRoute('Refuse the prepares of a participant, and hold its completions', participantSchema)
  async pause(
    @Param('name') name: string,
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    await this.actions.pause(name, orderOf(body, caller));
    this.reply.send(response, this.status.participant(name));
  }

  @Post(':name/resume')
  @OperatorRoute('Resume a paused participant', participantSchema)
  async resume(
    @Param('name') name: string,
    @Body({ schema: orderBody }) body: OrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    await this.actions.resume(name, orderOf(body, caller));
    this.reply.send(response, this.status.participant(name));
  }
}

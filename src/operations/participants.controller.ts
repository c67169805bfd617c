import { Body, Get, Param, Post, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { CoordinatorStatus } from '../coordinator/index.js';
import type { Caller } from './access/access.js';
import { CalledBy } from './access/access.guard.js';
import { AnyMember } from './members/any-member.js';
import { OperatorRoute } from './operator-route.decorator.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { Reply } from './reply.js';
import { type MemberOrderBody, memberOrderBody, orderOf } from './request.schemas.js';
import { orderedParticipantSchema, participantListSchema } from './view.schemas.js';

/** The participants that transactions can name, with their counts. */
@OperatorRoutes('participants')
export class ParticipantsController {
  constructor(
    private readonly status: CoordinatorStatus,
    private readonly anyMember: AnyMember,
    private readonly reply: Reply,
  ) {}

  @Get()
  @ApiOperation({ summary: 'The participants, with their options and counts' })
  @ApiOkResponse({ standardSchema: participantListSchema })
  list(@Res() response: unknown): void {
    this.reply.send(response, { participants: this.status.participants() });
  }

  @Post(':name/pause')
  @OperatorRoute(
    'Refuse the prepares of a participant, and hold its completions, at all members or one',
    orderedParticipantSchema,
  )
  async pause(
    @Param('name') name: string,
    @Body({ schema: memberOrderBody }) body: MemberOrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const action = { kind: 'pause', participant: name, ...orderOf(body, caller) } as const;
    this.reply.send(response, await this.anyMember.actAt(action, body.member));
  }

  @Post(':name/resume')
  @OperatorRoute('Resume a paused participant, at all members or one', orderedParticipantSchema)
  async resume(
    @Param('name') name: string,
    @Body({ schema: memberOrderBody }) body: MemberOrderBody,
    @CalledBy() caller: Caller,
    @Res() response: unknown,
  ): Promise<void> {
    const action = { kind: 'resume', participant: name, ...orderOf(body, caller) } as const;
    this.reply.send(response, await this.anyMember.actAt(action, body.member));
  }
}

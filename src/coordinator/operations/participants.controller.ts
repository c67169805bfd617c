import { Controller, Get } from '@nestjs/common';
import { ApiOkResponse, ApiOperation, ApiTags } from '@nestjs/swagger';
import { CoordinatorStatus, type ParticipantView } from '../observation/coordinator-status.js';
import { participantListSchema } from './view.schemas.js';

/** The participants that transactions can name, with what has happened at each. */
@ApiTags('operations')
@Controller('participants')
export class ParticipantsController {
  constructor(private readonly status: CoordinatorStatus) {}

  @Get()
  @ApiOperation({ summary: 'The participants, with their options and what has happened at each' })
  @ApiOkResponse({ standardSchema: participantListSchema })
  list(): { participants: ParticipantView[] } {
    return { participants: this.status.participants() };
  }
}

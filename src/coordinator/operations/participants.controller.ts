import { Controller, Get } from '@nestjs/common';
import { CoordinatorStatus, type ParticipantView } from '../observation/coordinator-status.js';

/** The participants that transactions can name, with what has happened at each. */
@Controller('participants')
export class ParticipantsController {
  constructor(private readonly status: CoordinatorStatus) {}

  @Get()
  list(): { participants: ParticipantView[] } {
    return { participants: this.status.participants() };
  }
}

import { Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { CoordinatorHealthIndicator } from '../observation/coordinator-health.indicator.js';
import { HealthController } from './health.controller.js';
import { ParticipantsController } from './participants.controller.js';
import { TransactionsController } from './transactions.controller.js';

/**
 * HTTP for operators: `GET /transactions`, `/transactions/:id`, `/participants`, `/health/live` and `/health/ready`.
 * Import it beside CoordinatorModule where these routes are wanted.
 *
 * @publicApi
 */
@Module({
  imports: [TerminusModule],
  controllers: [TransactionsController, ParticipantsController, HealthController],
  providers: [CoordinatorHealthIndicator],
  exports: [CoordinatorHealthIndicator],
})
export class OperationsModule {}

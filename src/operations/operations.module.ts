import { type DynamicModule, Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { CoordinatorHealthIndicator } from './coordinator-health.indicator.js';
import { Access, type AccessOptions } from './access/access.js';
import { CoordinatorController } from './coordinator.controller.js';
import { DashboardController } from './dashboard.controller.js';
import { EventsController } from './events.controller.js';
import { HealthController } from './health.controller.js';
import { MetricsModule } from './metrics/metrics.module.js';
import { MetricsController } from './metrics.controller.js';
import { OverviewStream } from './overview-stream.js';
import { ParticipantsController } from './participants.controller.js';
import { TransactionsController } from './transactions.controller.js';

/**
 * HTTP for operators: transactions, participants, the coordinator, metrics, health, a dashboard, and what can be done. Import it beside
 * CoordinatorModule where these routes are wanted. Without {@link OperationsModule.forRoot} nobody may see or act, and only
 * health is answered.
 *
 * @publicApi
 */
@Module({
  imports: [TerminusModule, MetricsModule],
  controllers: [
    TransactionsController,
    ParticipantsController,
    CoordinatorController,
    EventsController,
    MetricsController,
    DashboardController,
    HealthController,
  ],
  providers: [CoordinatorHealthIndicator, OverviewStream, { provide: Access, useValue: new Access({}) }],
  exports: [CoordinatorHealthIndicator, MetricsModule],
})
export class OperationsModule {
  /**
   * @param access who may see, and who may act.
   * @throws TypeError when a token is too short to be a secret, or is another's as well.
   */
  static forRoot(access: AccessOptions): DynamicModule {
    return {
      module: OperationsModule,
      providers: [{ provide: Access, useValue: new Access(access) }],
    };
  }
}

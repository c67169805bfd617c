import { Module } from '@nestjs/common';
import { CoordinatorMetrics } from './coordinator-metrics.js';

/**
 * The metrics of the coordinator without an HTTP route: import it beside CoordinatorModule, and inject
 * {@link CoordinatorMetrics}. OperationsModule imports it, and adds `GET /metrics`.
 *
 * @publicApi
 */
@Module({ providers: [CoordinatorMetrics], exports: [CoordinatorMetrics] })
export class MetricsModule {}

import { Get, Header } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Registry } from 'prom-client';
import { CoordinatorMetrics } from './metrics/coordinator-metrics.js';
import { OperatorRoutes } from './operator-routes.decorator.js';

/** The coordinator in numbers, for whoever collects them. */
@OperatorRoutes('metrics')
export class MetricsController {
  constructor(private readonly metrics: CoordinatorMetrics) {}

  @Get()
  @Header('Content-Type', Registry.PROMETHEUS_CONTENT_TYPE)
  @Header('Cache-Control', 'no-store')
  @ApiOperation({ summary: 'The metrics, in the text format of Prometheus' })
  @ApiOkResponse({ content: { 'text/plain': { schema: { type: 'string' } } } })
  read(): Promise<string> {
    return this.metrics.text();
  }
}

import { Get, Header, Res } from '@nestjs/common';
import { ApiOkResponse, ApiOperation } from '@nestjs/swagger';
import { Registry } from 'prom-client';
import { CoordinatorMetrics } from './metrics/coordinator-metrics.js';
import { OperatorRoutes } from './operator-routes.decorator.js';
import { Reply } from './reply.js';

/** The metrics of the coordinator, for a metrics system. */
@OperatorRoutes('metrics')
export class MetricsController {
  constructor(
    private readonly metrics: CoordinatorMetrics,
    private readonly reply: Reply,
  ) {}

  @Get()
  @Header('Content-Type', Registry.PROMETHEUS_CONTENT_TYPE)
  @Header('Cache-Control', 'no-store')
  @ApiOperation({ summary: 'The metrics, in the text format of Prometheus' })
  @ApiOkResponse({ content: { 'text/plain': { schema: { type: 'string' } } } })
  async read(@Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.metrics.text());
  }
}

import { Controller, Get } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { HealthCheck, type HealthCheckResult, HealthCheckService } from '@nestjs/terminus';
import { CoordinatorHealthIndicator } from './coordinator-health.indicator.js';

/** Health, for whoever restarts the process (live) and whoever sends it work (ready). */
@ApiTags('operations')
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly coordinator: CoordinatorHealthIndicator,
  ) {}

  /**
   * 503 when only a restart can help, because the decision log could not be flushed. Else it answers as long as the
   * process can answer at all: a stalled participant is no reason for a restart.
   */
  @Get('live')
  @HealthCheck()
  @ApiOperation({ summary: 'Whether the process answers, and need not be restarted' })
  live(): Promise<HealthCheckResult> {
    return this.health.check([() => this.coordinator.checkLife('coordinator')]);
  }

  /** 503 while no new transaction is taken. Stalled transactions make it `degraded`, with 200. */
  @Get('ready')
  @HealthCheck()
  @ApiOperation({ summary: 'Whether new transactions are taken; degraded while one is stalled' })
  ready(): Promise<HealthCheckResult> {
    return this.health.check([() => this.coordinator.check('coordinator')]);
  }
}

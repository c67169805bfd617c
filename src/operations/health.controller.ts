import { Controller, Get, Res, UseFilters, VERSION_NEUTRAL } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { HealthCheck, HealthCheckService } from '@nestjs/terminus';
import { CoordinatorHealthIndicator } from './coordinator-health.indicator.js';
import { ProblemFilter } from './problem/problem.filter.js';
import { Reply } from './reply.js';

/** Health, for the platform that restarts the process (live) and sends it work (ready). */
@ApiTags('operations')
@Controller({ path: 'health', version: VERSION_NEUTRAL })
@UseFilters(ProblemFilter)
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly coordinator: CoordinatorHealthIndicator,
    private readonly reply: Reply,
  ) {}

  /**
   * 503 when only a restart can help, because the decision log could not be flushed. Otherwise it answers as
   * long as the process can answer at all: a stalled participant is no reason for a restart.
   */
  @Get('live')
  @HealthCheck()
  @ApiOperation({ summary: 'Whether the process works without a restart' })
  async live(@Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.health.check([() => this.coordinator.checkLife('coordinator')]));
  }

  /** 503 while no new transaction is admitted. Stalled transactions make it `degraded`, with 200. */
  @Get('ready')
  @HealthCheck()
  @ApiOperation({ summary: 'Whether new transactions are admitted; degraded while one is stalled' })
  async ready(@Res() response: unknown): Promise<void> {
    this.reply.send(response, await this.health.check([() => this.coordinator.check('coordinator')]));
  }
}

import { Injectable } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { CoordinatorStatus } from '../coordinator/index.js';

/**
 * The coordinator's health, for a Terminus check: `down` while it admits no new transactions, or has yet to
 * try the decisions of earlier runs for the first time; `degraded` while a transaction is stalled or holds a
 * heuristic report, or a participant does not answer; otherwise `up`.
 *
 * @publicApi
 */
@Injectable()
export class CoordinatorHealthIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly status: CoordinatorStatus,
  ) {}

  /**
   * Whether the process may continue: `down` only when nothing but a restart can help.
   *
   * @param key the name of the result in the answer.
   */
  checkLife<const Key extends string>(key: Key): HealthIndicatorResult<Key> {
    const indicator = this.indicators.check(key);
    const { restartNeeded } = this.status.condition();
    return restartNeeded ? indicator.down({ restartNeeded }) : indicator.up();
  }

  /**
   * @param key the name of the result in the answer.
   * @returns the status, with the coordinator's condition as its details, without the problem of its log. It
   * never throws.
   */
  check<const Key extends string>(key: Key): HealthIndicatorResult<Key> {
    const indicator = this.indicators.check(key);
    // Every caller may ask for health, and the problem of the log may name files and hosts.
    const { logProblem: _, ...condition } = this.status.condition();
    if (!condition.accepting || condition.recovering) return indicator.down(condition);
    return condition.stalled + condition.heuristic + condition.silent > 0
      ? indicator.degraded(condition)
      : indicator.up(condition);
  }
}

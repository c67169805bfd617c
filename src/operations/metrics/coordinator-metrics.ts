import { Injectable } from '@nestjs/common';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { METRICS, MetricSource } from '../../coordinator/observation/metrics/index.js';
import { scraped } from './scraped-metric.js';

/**
 * The coordinator in numbers, for Prometheus. Every series is there from the start, with zeros, and no label holds what a
 * caller can choose: there are as many series as participants ask for, and no more.
 *
 * @publicApi
 */
@Injectable()
export class CoordinatorMetrics {
  /**
   * The registry of prom-client that holds them, and nothing else unless {@link includeProcess} was called. An application
   * with metrics of its own joins both: `Registry.merge([register, metrics.registry])`.
   */
  readonly registry = new Registry();
  private hasProcess = false;

  constructor(source: MetricSource) {
    for (const metric of METRICS) this.registry.registerMetric(scraped(metric, source));
  }

  /**
   * Adds what prom-client measures of the process: memory, processor time, garbage collection, the lag of the event loop.
   * Left out unless it is asked for, since an application that measures itself would have all of it twice, and because it
   * watches the garbage collection until the process ends.
   */
  includeProcess(): void {
    if (this.hasProcess) return;
    this.hasProcess = true;
    collectDefaultMetrics({ register: this.registry });
  }

  /** @returns all of them in Prometheus' text format. A metric that cannot be read is left out, and counts as a defect. */
  text(): Promise<string> {
    return this.registry.metrics();
  }
}

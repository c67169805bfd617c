import { Injectable } from '@nestjs/common';
import { Registry, collectDefaultMetrics } from 'prom-client';
import { METRICS, MetricSource } from '../../coordinator/observation/metrics/index.js';
import { scraped } from './scraped-metric.js';

/**
 * The metrics of the coordinator, for Prometheus. Every series exists from the start, with zeros, and no
 * label holds a value that callers choose: the number of series depends only on the participants.
 *
 * @publicApi
 */
@Injectable()
export class CoordinatorMetrics {
  /**
   * The registry of prom-client that holds them, and nothing else unless {@link includeProcess} was called.
   * An application with metrics of its own merges both: `Registry.merge([register, metrics.registry])`.
   */
  readonly registry = new Registry();
  private hasProcess = false;

  /** @internal */
  constructor(source: MetricSource) {
    for (const metric of METRICS) this.registry.registerMetric(scraped(metric, source));
  }

  /**
   * Adds prom-client's metrics of the process: memory, processor time, garbage collection, the lag of the
   * event loop. This is done only on request, since an application with such metrics would have all of them
   * twice, and since it observes the garbage collection until the process ends.
   */
  includeProcess(): void {
    if (this.hasProcess) return;
    this.hasProcess = true;
    collectDefaultMetrics({ register: this.registry });
  }

  /**
   * @returns all of them in Prometheus' text format. A metric that cannot be read is left out, and counts as
   * a defect.
   */
  text(): Promise<string> {
    return this.registry.metrics();
  }
}

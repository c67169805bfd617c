import {
  type TestCoordinator,
  type TestCoordinatorOptions,
  ScriptedParticipant,
  createTestCoordinator,
} from '../../coordinator/testing/index.js';
import { MetricSource } from '../../coordinator/observation/metrics/index.js';
import { Reporter } from '../../coordinator/observation/reporter.js';
import { NO_EVENTS, NO_LINES } from '../../coordinator/observation/silent-reporting.fixture.js';
import { CoordinatorMetrics } from './coordinator-metrics.js';

/** A parsed scrape: `name{label="value"}` and the number behind it. */
export class Scrape {
  readonly series: ReadonlyMap<string, number>;

  constructor(readonly text: string) {
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const pairs = lines.map((line): [string, number] => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    });
    this.series = new Map(pairs);
    if (this.series.size !== pairs.length)
      throw new Error('Prometheus refuses a scrape with a series twice.');
  }

  /** @throws Error when there is no such series. */
  value(series: string): number {
    const value = this.series.get(series);
    if (value === undefined) throw new Error(`There is no ${series} in:\n${this.text}`);
    return value;
  }

  /** @returns the series of a metric that are not 0. */
  nonZero(metric: string): Record<string, number> {
    const found = [...this.series].filter(([name, value]) => name.split('{')[0] === metric && value !== 0);
    return Object.fromEntries(found.map(([name, value]) => [name.slice(metric.length), value]));
  }
}

/** A coordinator whose metrics a test reads. */
export interface Measured extends TestCoordinator {
  readonly reporter: Reporter;
  readonly metrics: CoordinatorMetrics;
  readonly scrape: () => Promise<Scrape>;
  readonly stock: ScriptedParticipant;
  readonly payment: ScriptedParticipant;
}

/** Makes one with two participants, `stock` and `payment`. */
export function createMeasured(options: TestCoordinatorOptions = {}): Measured {
  const stock = new ScriptedParticipant();
  const payment = new ScriptedParticipant();
  const reporter = new Reporter(NO_LINES, NO_EVENTS);
  const coordinator = createTestCoordinator({
    participants: { stock, payment },
    observer: reporter,
    ...options,
  });
  const metrics = new CoordinatorMetrics(new MetricSource(coordinator.runtime, reporter));
  const scrape = async (): Promise<Scrape> => new Scrape(await metrics.text());
  return { ...coordinator, reporter, metrics, scrape, stock, payment };
}

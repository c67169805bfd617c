import { Inject, Injectable, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { CoordinatorRuntime } from '../../execution/coordinator-runtime.js';
import { ABORT_CAUSES } from '../../protocol/index.js';
import { Reporter } from '../reporter.js';
import { type Alarm, type AlarmRegistry, byUrgency } from './alarm.js';
import { conditionAlarms } from './condition-alarms.js';
import { RecentCounts } from './recent-counts.js';
import { transactionAlarms } from './transaction-alarms.js';

/** The counters are read at this pace. */
const STEP_MS = 5_000;

/** The alarms of one member: the most urgent first. @publicApi */
export interface AlarmList {
  readonly alarms: readonly Alarm[];
  /** The number of all of them. */
  readonly total: number;
}

/**
 * The present alarms, for people: the conditions of the alert rules, found in this process itself. A
 * dashboard can show them where no Prometheus runs, and before its rules fire.
 *
 * @publicApi
 */
@Injectable()
export class AlarmBoard implements AlarmRegistry, OnModuleInit, OnApplicationShutdown {
  private readonly recent: RecentCounts;
  private readonly sources: (() => readonly Alarm[])[] = [];
  private readonly startedAt: number;
  private timer: NodeJS.Timeout | undefined;

  /** @internal */
  constructor(
    @Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime,
    private readonly reporter: Reporter,
  ) {
    this.recent = new RecentCounts(runtime, reporter, ABORT_CAUSES);
    this.startedAt = runtime.parts.clock.now();
  }

  onModuleInit(): void {
    this.timer = setInterval(() => this.step(), STEP_MS);
    this.timer.unref();
  }

  onApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  add(source: () => readonly Alarm[]): void {
    this.sources.push(source);
  }

  /**
   * @param limit the most alarms in the list.
   * @returns the present alarms, the most urgent first.
   */
  list(limit: number): AlarmList {
    const { registry, parts } = this.runtime;
    const alarms = [
      ...transactionAlarms(registry, parts.clock.now()),
      ...conditionAlarms(this.runtime, this.recent, this.startedAt),
      ...this.sources.flatMap((source) => this.heard(source)),
    ];
    return { alarms: alarms.toSorted(byUrgency).slice(0, limit), total: alarms.length };
  }

  /** Reads the counters. @internal */
  step(): void {
    try {
      this.recent.step();
    } catch (error) {
      this.reporter.defect(error, 'reading the counters for alarms');
    }
  }

  private heard(source: () => readonly Alarm[]): readonly Alarm[] {
    try {
      return source();
    } catch (error) {
      this.reporter.defect(error, 'listing the alarms of another part of the application');
      return [];
    }
  }
}

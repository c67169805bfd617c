import { type Counter, type Histogram, metrics } from '@opentelemetry/api';
import type { CallAnswer, CallMethod } from '../remote/wire/index.js';
import type { HostLog } from './host-log.js';

/** How many calls of one kind have got which answer. @publicApi */
export interface HostCount {
  readonly participant: string;
  /** `prepare`, `commit`, `rollback`, `commitOnePhase`, or a call of administration. */
  readonly method: string;
  /** `vote`, `done`, `heuristic`, `try-again`, `error`, or an answer to administration. */
  readonly answer: string;
  readonly calls: number;
}

interface Count {
  readonly shown: { -readonly [K in keyof HostCount]: HostCount[K] };
  /** The attributes of its metrics. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** Counts the calls of a host, for its health and for OpenTelemetry. */
export class HostMeasurements {
  private readonly counts = new Map<string, Count>();
  private readonly calls: Counter;
  private readonly durations: Histogram;
  private readonly lateWorks: Counter;
  /** How often work took effect after its branch was ended. */
  lateWork = 0;

  constructor(private readonly log: HostLog) {
    const meter = metrics.getMeter('nestjs-dtc');
    this.calls = meter.createCounter('dtc.host.calls', {
      description: 'Calls of coordinators, by their answer',
    });
    this.durations = meter.createHistogram('dtc.host.call.duration', {
      description: 'How long calls of coordinators take',
      unit: 's',
    });
    this.lateWorks = meter.createCounter('dtc.host.late.work', {
      description: 'Work that took effect after another replica had ended its branch',
    });
  }

  late(participant: string): void {
    this.lateWork++;
    this.measure(() => this.lateWorks.add(1, { 'dtc.participant': participant }));
  }

  ended(participant: string, method: CallMethod, answer: CallAnswer['kind'], durationMs: number): void {
    const key = `${participant}/${method}/${answer}`;
    let count = this.counts.get(key);
    if (count === undefined) {
      const attributes = { 'dtc.participant': participant, 'dtc.method': method, 'dtc.answer': answer };
      count = { shown: { participant, method, answer, calls: 0 }, attributes };
      this.counts.set(key, count);
    }
    count.shown.calls++;
    const { attributes } = count;
    this.measure(() => {
      this.calls.add(1, attributes);
      this.durations.record(durationMs / 1_000, attributes);
    });
  }

  private measure(record: () => void): void {
    try {
      record();
    } catch (error) {
      this.log.defect('A meter', error);
    }
  }

  /** @returns the calls to one participant since the start, and how many of them were answered with an error. */
  callsTo(participant: string): { readonly calls: number; readonly errors: number } {
    const found = { calls: 0, errors: 0 };
    for (const { shown } of this.counts.values()) {
      if (shown.participant !== participant) continue;
      found.calls += shown.calls;
      if (shown.answer === 'error') found.errors += shown.calls;
    }
    return found;
  }

  /** @returns the counts since the start. There are as many as kinds of calls and answers. */
  list(): HostCount[] {
    return Array.from(this.counts.values(), ({ shown }) => ({ ...shown }));
  }
}

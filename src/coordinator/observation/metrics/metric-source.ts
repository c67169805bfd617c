import { Inject, Injectable } from '@nestjs/common';
import { CoordinatorRuntime } from '../../execution/coordinator-runtime.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import { Reporter } from '../reporter.js';
import { Snapshot } from '../snapshot.js';

/** The source of the metrics' values. */
@Injectable()
export class MetricSource {
  private latest: Snapshot | undefined;

  constructor(
    @Inject(CoordinatorRuntime) readonly runtime: CoordinatorRuntime,
    readonly reporter: Reporter,
  ) {}

  /** One snapshot of the transactions serves all metrics of a scrape, since they are read in one turn. */
  get snapshot(): Snapshot {
    if (this.latest !== undefined) return this.latest;
    this.latest = new Snapshot(this.runtime);
    queueMicrotask(() => (this.latest = undefined));
    return this.latest;
  }

  /**
   * The registered participants, and unregistered ones that owe the completion of a branch. If two had the
   * same name one after the other, it is the later one, since a metric may contain a name once.
   */
  get participants(): Iterable<RegisteredParticipant> {
    const byName = new Map<string, RegisteredParticipant>();
    for (const participant of this.snapshot.owing) byName.set(participant.name, participant);
    for (const participant of this.registered) byName.set(participant.name, participant);
    return byName.values();
  }

  get registered(): RegisteredParticipant[] {
    return this.runtime.parts.participants.registered();
  }
}

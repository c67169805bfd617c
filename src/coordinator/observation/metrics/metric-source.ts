import { Inject, Injectable } from '@nestjs/common';
import { CoordinatorRuntime } from '../../execution/coordinator-runtime.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import { Reporter } from '../reporter.js';
import { Snapshot } from '../snapshot.js';

/** Where metrics are read from. */
@Injectable()
export class MetricSource {
  private latest: Snapshot | undefined;

  constructor(
    @Inject(CoordinatorRuntime) readonly runtime: CoordinatorRuntime,
    readonly reporter: Reporter,
  ) {}

  /** One look at the transactions serves all metrics of a scrape, since they are read in one turn. */
  get snapshot(): Snapshot {
    if (this.latest !== undefined) return this.latest;
    this.latest = new Snapshot(this.runtime);
    queueMicrotask(() => (this.latest = undefined));
    return this.latest;
  }

  /**
   * Those that are registered, and those that are not and owe the completion of a branch. Of two that bore one name after
   * another it is the later, since a name may stand in a metric once.
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

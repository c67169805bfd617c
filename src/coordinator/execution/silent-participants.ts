import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { Clock } from './clock.js';
import type { Observers } from './observer.js';

/** A participant that falls silent again and again is reported so often at most. */
const AT_MOST_EVERY_MS = 60_000;

/** Reports when a participant stops answering its prepares, and when that is over. */
export class SilentParticipants {
  /** Those that are silent, and whether that was reported. */
  private readonly silent = new Map<RegisteredParticipant, boolean>();
  private readonly reportedAt = new WeakMap<RegisteredParticipant, number>();

  constructor(
    private readonly clock: Clock,
    private readonly observers: Observers,
  ) {}

  /** The participant has missed a prepare. */
  look(participant: RegisteredParticipant): void {
    const now = this.clock.now();
    if (this.silent.has(participant) || participant.silentSince(now) === undefined) return;
    const before = this.reportedAt.get(participant);
    const isReported = before === undefined || now - before >= AT_MOST_EVERY_MS;
    this.silent.set(participant, isReported);
    if (!isReported) return;
    this.reportedAt.set(participant, now);
    this.observers.silent(participant);
  }

  /**
   * Reports those that are not silent any more. Of one that nothing is known of any more, the next prepare
   * shows it.
   */
  sweep(now: number): void {
    for (const [participant, isReported] of this.silent) {
      if (participant.silentSince(now) !== undefined) continue;
      this.silent.delete(participant);
      if (isReported) this.observers.heard(participant);
    }
  }
}

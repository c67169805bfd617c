import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { messageOf } from '../execution/incident.js';
import { type PreparedBranch, branchKey } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { presume } from '../protocol/index.js';

/**
 * Finds orphans: branches that an earlier run of this coordinator has prepared and left without a decision. Nothing is
 * concluded from one look: a branch has to be in two complete lists, {@link CoordinatorOptions.orphanSafetyMs} apart.
 * Then it is handed to the recovery of stalled branches, to be rolled back.
 */
export class OrphanRecovery {
  /** When each branch of the latest complete list was seen first, by participant and branch. */
  private readonly sightings = new Map<RegisteredParticipant, ReadonlyMap<string, number>>();
  /** The scans that are under way. A participant that has not answered is not asked again until it has. */
  private readonly scans = new Map<RegisteredParticipant, Promise<void>>();
  /** How many branches of each participant nobody can decide, as was reported the last time. */
  private readonly undecidable = new WeakMap<RegisteredParticipant, number>();
  private stopped = false;

  constructor(private readonly runtime: CoordinatorRuntime) {}

  /**
   * Asks every participant that can list its prepared branches.
   *
   * @returns a promise that resolves when all have answered.
   */
  async pass(): Promise<void> {
    if (!this.mayConclude) return;
    const participants = this.runtime.parts.participants.list();
    for (const participant of this.sightings.keys()) {
      if (!participants.includes(participant)) this.sightings.delete(participant);
    }
    await Promise.all(participants.map((participant) => this.scanOnce(participant)));
  }

  /** No list that comes from now on is looked at. */
  stop(): void {
    this.stopped = true;
  }

  private scanOnce(participant: RegisteredParticipant): Promise<void> {
    const mayAsk = participant.isClaimed && participant.paused === undefined;
    if (!mayAsk || participant.instance.recover === undefined) return Promise.resolve();
    const underWay = this.scans.get(participant);
    if (underWay !== undefined) return underWay;
    const scan = this.scan(participant).finally(() => this.scans.delete(participant));
    this.scans.set(participant, scan);
    return scan;
  }

  private async scan(participant: RegisteredParticipant): Promise<void> {
    const { registry, parts } = this.runtime;
    const askedAt = parts.clock.now();
    try {
      // Asked before the list is made: what is decided then may be delivered, and forgotten, while the list is on its way.
      const decided = registry.restoredDecisions();
      const listed: unknown = await participant.instance.recover?.();
      if (!Array.isArray(listed)) throw new TypeError('recover() must answer with a list of branches');
      if (this.mayConclude) this.conclude(participant, listed, decided, askedAt);
    } catch (error) {
      // An incomplete list proves nothing, and what was seen before has not been seen again.
      parts.observer.scanFailed(participant, messageOf(error));
    }
  }

  private get mayConclude(): boolean {
    return !this.stopped && !this.runtime.log.isLost;
  }

  private conclude(
    participant: RegisteredParticipant,
    listed: readonly unknown[],
    decided: ReadonlySet<string>,
    askedAt: number,
  ): void {
    const { parts } = this.runtime;
    const now = parts.clock.now();
    const before = this.sightings.get(participant);
    const sightings = new Map<string, number>();
    let undecidable = 0;
    for (const branch of listed) {
      const presumption = this.presumptionOf(branch, decided);
      if (presumption === 'foreign' || presumption === 'leave') continue;
      if (presumption === 'unknown') {
        undecidable++;
        continue;
      }
      const key = branchKey(branch as PreparedBranch);
      const firstSeenAt = before?.get(key) ?? now;
      // A list is as old as the question: what it took on its way proves nothing.
      if (before?.has(key) && askedAt - firstSeenAt >= parts.options.orphanSafetyMs) {
        this.rollBack(branch as PreparedBranch, participant);
      } else {
        sightings.set(key, firstSeenAt);
      }
    }
    this.sightings.set(participant, sightings);
    if (undecidable === 0) parts.observer.decidable?.(participant);
    else if (this.undecidable.get(participant) !== undecidable) {
      parts.observer.undecidable(participant, undecidable);
    }
    this.undecidable.set(participant, undecidable);
  }

  /** What may be concluded of a branch that is listed. What bears another name, or no well-formed one, is not ours. */
  private presumptionOf(
    branch: unknown,
    decided: ReadonlySet<string>,
  ): 'foreign' | 'leave' | 'abort' | 'unknown' {
    const { ids, log } = this.runtime;
    if (!isPreparedBranch(branch)) return 'foreign';
    const origin = ids.originOf(branch.transactionId);
    if (origin.kind === 'other-log') return 'unknown';
    if (origin.kind !== 'own') return 'foreign';
    const { epoch } = origin;
    const recorded = decided.has(branch.transactionId);
    const presumption = presume({ owns: !log.isLost, recorded, begunInThisEpoch: epoch === log.epoch });
    if (presumption !== 'abort') return 'leave';
    // Without the decisions of that epoch there is nothing to presume from.
    return log.durable && epoch < log.epoch ? 'abort' : 'unknown';
  }

  private rollBack(branch: PreparedBranch, participant: RegisteredParticipant): void {
    const { restoration, parts } = this.runtime;
    const orphan = restoration.orphan(branch, participant);
    if (orphan !== undefined) parts.observer.orphan(orphan);
  }
}

function isPreparedBranch(value: unknown): value is PreparedBranch {
  const { transactionId, branchId } = (value ?? {}) as Partial<PreparedBranch>;
  return typeof transactionId === 'string' && typeof branchId === 'string';
}

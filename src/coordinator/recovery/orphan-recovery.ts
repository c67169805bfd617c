import type { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { messageOf } from '../execution/incident.js';
import { type PreparedBranch, branchKey } from '../participant/participant.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import { includes, presume } from '../protocol/index.js';

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
    await Promise.all(participants.map((participant) => this.scanOnce(participant)));
  }

  /** No list that comes from now on is looked at. */
  stop(): void {
    this.stopped = true;
  }

  private scanOnce(participant: RegisteredParticipant): Promise<void> {
    if (participant.instance.recover === undefined) return Promise.resolve();
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
    const { parts, log } = this.runtime;
    const now = parts.clock.now();
    const before = this.sightings.get(participant);
    const sightings = new Map<string, number>();
    let undecidable = 0;
    for (const branch of listed) {
      if (!this.isAbandoned(branch, decided)) continue;
      const key = branchKey(branch);
      const firstSeenAt = before?.get(key) ?? now;
      sightings.set(key, firstSeenAt);
      if (!log.durable) undecidable++;
      // A list is as old as the question: what it took on its way proves nothing.
      else if (before?.has(key) && askedAt - firstSeenAt >= parts.options.orphanSafetyMs) {
        this.rollBack(branch, participant);
      }
    }
    this.sightings.set(participant, sightings);
    if (undecidable > 0 && before?.size !== undecidable) parts.observer.undecidable(participant, undecidable);
  }

  /** Whether abort may be presumed of the branch. What bears another name, or no well-formed one, is not ours. */
  private isAbandoned(branch: unknown, decided: ReadonlySet<string>): branch is PreparedBranch {
    const { ids, log } = this.runtime;
    if (!isPreparedBranch(branch)) return false;
    const epoch = ids.epochOf(branch.transactionId);
    if (epoch === undefined) return false;
    const recorded = decided.has(branch.transactionId);
    const begunInThisEpoch = epoch >= log.epoch;
    return presume({ owns: !log.isLost, recorded, begunInThisEpoch }) === 'abort';
  }

  private rollBack(branch: PreparedBranch, participant: RegisteredParticipant): void {
    const { registry, restoration, parts } = this.runtime;
    const known = registry.find(branch.transactionId);
    const isUnderWay = known?.branches.some(
      ({ index, branchId, participant: at }) =>
        at === participant && branchId === branch.branchId && includes(known.open, index),
    );
    if (!isUnderWay) parts.observer.orphan(restoration.orphan(branch, participant));
  }
}

function isPreparedBranch(value: unknown): value is PreparedBranch {
  const { transactionId, branchId } = (value ?? {}) as Partial<PreparedBranch>;
  return typeof transactionId === 'string' && typeof branchId === 'string';
}

import type { MemberEpoch, Renewal } from '../log/shared-log.js';
import type { Division } from './capacity/server-limit.js';

/** The epochs of a shared log that are not settled, as the log has listed them at the last renewal. */
export class KnownMembers {
  /**
   * How many epochs this process has adopted: of members that were taken for lost, and of those that were
   * fenced before.
   */
  readonly adoptions = { lost: 0, fenced: 0 };
  /** How many times this process was fenced, and went on with a new epoch. */
  returns = 0;
  private seenAt: number | undefined;
  private byEpoch: ReadonlyMap<number, MemberEpoch> = new Map();
  /** No epoch up to here is missing from a list because it is too new. */
  private upTo = 0;
  /**
   * Since when each epoch that is fenced and not settled was seen to be fenced, on the coordinator's clock.
   */
  private fencedSince: ReadonlyMap<number, number> = new Map();

  see({ epochs }: Pick<Renewal, 'epochs'>, now: number): void {
    this.seenAt = now;
    this.byEpoch = new Map(epochs.map((member) => [member.epoch, member]));
    for (const { epoch } of epochs) this.upTo = Math.max(this.upTo, epoch);
    const fenced = epochs.filter(({ isFenced }) => isFenced);
    this.fencedSince = new Map(fenced.map(({ epoch }) => [epoch, this.fencedSince.get(epoch) ?? now]));
  }

  /** How long ago the log has listed them, in milliseconds; undefined when it never has. */
  seenForMs(now: number): number | undefined {
    return this.seenAt === undefined ? undefined : now - this.seenAt;
  }

  get list(): readonly MemberEpoch[] {
    return [...this.byEpoch.values()];
  }

  of(epoch: number): MemberEpoch | undefined {
    return this.byEpoch.get(epoch);
  }

  /**
   * How the slots of a database server are divided. An epoch that is fenced starts nothing any more: it holds
   * the branches that it has prepared there, and no others. As long as these are not known, it may hold as
   * much as a living member. But all such epochs together count for no more than the living, since a
   * participant can be out of reach for days.
   *
   * @param preparedBy how many branches an epoch, fenced at a moment, has prepared there; undefined when it
   * is not known.
   */
  divisionOf(preparedBy: (epoch: number, since: number) => number | undefined): Division {
    const living = Math.max(1, this.byEpoch.size - this.fencedSince.size);
    let [held, unknown] = [0, 0];
    for (const [epoch, since] of this.fencedSince) {
      const prepared = preparedBy(epoch, since);
      if (prepared === undefined) unknown++;
      else held += prepared;
    }
    return { sharers: living + Math.min(unknown, living), held };
  }

  /**
   * Whether branches of an epoch may still be completed. An epoch that the log has given out since is alive.
   */
  mayBeOpen(epoch: number): boolean {
    return epoch > this.upTo || this.byEpoch.has(epoch);
  }
}

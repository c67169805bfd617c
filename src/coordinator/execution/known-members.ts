import type { MemberEpoch, Renewal } from '../log/shared-log.js';

/** The epochs of a shared log that are not settled, as the log has listed them at the last renewal. */
export class KnownMembers {
  private byEpoch: ReadonlyMap<number, MemberEpoch> = new Map();
  /** No epoch up to here is missing from a list because it is too new. */
  private upTo = 0;

  see({ epochs }: Pick<Renewal, 'epochs'>): void {
    this.byEpoch = new Map(epochs.map((member) => [member.epoch, member]));
    for (const { epoch } of epochs) this.upTo = Math.max(this.upTo, epoch);
  }

  get list(): readonly MemberEpoch[] {
    return [...this.byEpoch.values()];
  }

  of(epoch: number): MemberEpoch | undefined {
    return this.byEpoch.get(epoch);
  }

  /** How many take part in the limits of databases: the living members, and the epochs that are not settled yet. */
  get sharers(): number {
    return Math.max(1, this.byEpoch.size);
  }

  /** Whether branches of an epoch may still be completed. An epoch that the log has given out since is alive. */
  mayBeOpen(epoch: number): boolean {
    return epoch > this.upTo || this.byEpoch.has(epoch);
  }
}

import { createHash } from 'node:crypto';
import type { GroupBranch, MemberVote } from '../../coordinator/participant/group.js';
import type { Branch, Vote } from '../../coordinator/participant/participant.js';
import type { BranchWork } from '../branch/work.js';
import type { ConnectionPool } from '../connection/connection-pool.js';
import { Loners } from './loners.js';
import { NeutralWork } from './neutral-work.js';
import { type GivenWork, OpenGroup } from './open-group.js';

/** Of so many groups it is known that they have ended: their prepare may come late, or again. */
const MOST_ENDED = 1_000;

/** The groups of one participant whose transactions are open, by their global ids. */
export class OpenGroups {
  /** The work that runs on its own. */
  readonly loners = new Loners();
  private readonly neutral = new NeutralWork();
  private readonly groups = new Map<string, OpenGroup>();
  /** The latest groups that have ended, in order. */
  private readonly ended = new Set<string>();
  private readonly lockKey: string;

  constructor(
    participant: string,
    private readonly pool: ConnectionPool,
  ) {
    this.lockKey = lockKeyOf(participant);
  }

  /** Whether there was no group yet. */
  get isEmpty(): boolean {
    return this.groups.size === 0 && this.ended.size === 0;
  }

  /** Whether it is a group that is open, or has ended lately. */
  has(gid: string): boolean {
    return this.groups.has(gid) || this.ended.has(gid);
  }

  /** @see OpenGroup.run */
  run(
    gid: string,
    work: BranchWork,
    group: GroupBranch,
    members: readonly GivenWork[],
    trials: readonly GivenWork[],
  ): Promise<readonly MemberVote[] | 'busy'> {
    if (group.attempt === 1) {
      this.groups.set(gid, new OpenGroup(gid, work, this.pool, this.lockKey, this.loners, this.neutral));
      group.signal.addEventListener('abort', () => this.end(gid), { once: true });
      if (group.signal.aborted) this.end(gid);
      group.signal.throwIfAborted();
    }
    const open = this.groups.get(gid);
    if (open === undefined) throw new Error(`The transaction of the group ${gid} is not open any more.`);
    return open.run(group, members, trials);
  }

  /** @see OpenGroup.discard */
  discard(gid: string): Promise<void> {
    return this.groups.get(gid)?.discard() ?? Promise.resolve();
  }

  /** @see OpenGroup.prepare */
  async prepare(gid: string, branch: Branch): Promise<Vote> {
    const open = this.groups.get(gid);
    // It may be prepared already, so this is no refusal.
    if (open === undefined) throw new Error(`The transaction of the group ${gid} is not open any more.`);
    this.forget(gid);
    return open.prepare(branch);
  }

  /** Rolls back what is open of a group, if it is one. */
  end(gid: string): void {
    this.groups.get(gid)?.giveUp(undefined);
    this.forget(gid);
  }

  /** Rolls back all that is open. */
  endAll(): void {
    for (const gid of this.groups.keys()) this.end(gid);
  }

  private forget(gid: string): void {
    if (!this.groups.delete(gid)) return;
    if (this.ended.size === MOST_ENDED) this.ended.delete(this.ended.keys().next().value!);
    this.ended.add(gid);
  }
}

/** @returns the key of a participant's lock in its database, the same for all coordinators. */
function lockKeyOf(participant: string): string {
  return createHash('sha256').update(`dtc group ${participant}`).digest().readBigInt64BE().toString();
}

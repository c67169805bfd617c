import type { HeuristicKind } from '../../src/coordinator/index.js';
import type { Judge } from './judge.js';

/** The payload of a branch: to move money, or only to look. Both sides of a transfer add up to 0. */
export interface Transfer {
  readonly amount: number;
  readonly readOnly: boolean;
}

export type EntryState = 'none' | 'prepared' | 'committed' | 'undone' | 'read-only' | 'refused';

/**
 * One line of the books: the real effect of one branch. It is the marker by which the branch is found again.
 */
export class Entry {
  state: EntryState = 'none';
  /** The vote that left the participant; a throw or garbage is none. */
  vote: 'commit' | 'read-only' | undefined;
  /** Until when its vote for commit holds, in virtual time; undefined if the vote does not expire. */
  validUntil: number | undefined;
  /** The report of the participant about a branch that it ended on its own. */
  heuristic: HeuristicKind | undefined;
  /** Of a group: the work for each member, in their order. */
  members: readonly Entry[] = [];
  /** Of what was done for a member: the entry of its group. */
  group: Entry | undefined;
  /** How much of the money is held for it while it is prepared. */
  hold: number;

  constructor(
    readonly key: string,
    readonly transactionId: string,
    readonly branchId: string,
    readonly amount: number,
  ) {
    this.hold = Math.max(0, -amount);
  }
}

const OPENING_BALANCE = 200;

/** The durable books of one participant. Every step is one local transaction. */
export class Account {
  readonly entries = new Map<string, Entry>();
  readonly opening = OPENING_BALANCE;
  balance = OPENING_BALANCE;
  held = 0;

  constructor(
    private readonly owner: string,
    private readonly judge: Judge,
  ) {}

  find(key: string): Entry | undefined {
    return this.entries.get(key);
  }

  /** The entry of a branch, made when it is named for the first time. */
  entryOf(key: string, transactionId: string, branchId: string, amount: number): Entry {
    const known = this.entries.get(key);
    if (known !== undefined) return known;
    const entry = new Entry(key, transactionId, branchId, amount);
    this.entries.set(key, entry);
    this.judge.caseOf(transactionId).entries.set(key, entry);
    return entry;
  }

  /** @returns whether there is money enough; if so it is held. */
  reserve(entry: Entry): boolean {
    if (entry.group !== undefined)
      this.judge.violate(`${entry.key}: it is prepared on its own, beside its group ${entry.group.key}`);
    if (this.available < entry.hold) return false;
    this.held += entry.hold;
    entry.state = 'prepared';
    return true;
  }

  /** The work of the members of a group is prepared with it. It holds the money already. */
  prepareGroup(group: Entry, members: readonly Entry[], hold: number): void {
    group.state = 'prepared';
    group.members = members;
    group.hold = hold;
    for (const member of members) {
      const { key, transactionId } = member;
      const other = this.entries.get(key);
      if (other?.state === 'prepared' || other?.state === 'committed')
        this.judge.violate(`${key}: it is prepared with ${group.key}, and was before`);
      member.group = group;
      member.state = member.vote === 'commit' ? 'prepared' : 'read-only';
      this.entries.set(key, member);
      this.judge.caseOf(transactionId).entries.set(key, member);
    }
  }

  /** No member of the group has changed anything: it is over. */
  leaveAsRead(group: Entry): void {
    group.state = 'read-only';
    for (const member of group.members) member.group = undefined;
  }

  /** Nothing is left of it. */
  private drop({ key, transactionId }: Entry): void {
    this.entries.delete(key);
    this.judge.caseOf(transactionId).entries.delete(key);
  }

  get available(): number {
    return this.balance - this.held;
  }

  commit(entry: Entry): void {
    if (entry.state !== 'prepared') return;
    this.held -= entry.hold;
    this.balance += entry.amount;
    entry.state = 'committed';
    for (const member of entry.members) {
      if (member.state !== 'prepared') continue;
      member.heuristic = entry.heuristic;
      this.balance += member.amount;
      member.state = 'committed';
      this.judge.ended(member, this.owner);
    }
    this.judge.ended(entry, this.owner);
  }

  undo(entry: Entry): void {
    if (entry.state !== 'prepared') return;
    this.held -= entry.hold;
    entry.state = 'undone';
    for (const member of entry.members) {
      if (member.state === 'prepared') {
        member.heuristic = entry.heuristic;
        member.state = 'undone';
        this.judge.ended(member, this.owner);
      }
      // It may run on its own now.
      if (entry.heuristic === undefined) this.drop(member);
    }
    this.judge.ended(entry, this.owner);
  }

  /**
   * The branches that are prepared and were told no decision. Those of members are in that of their group.
   */
  prepared(): Entry[] {
    const prepared: Entry[] = [];
    for (const entry of this.entries.values())
      if (entry.state === 'prepared' && entry.group === undefined) prepared.push(entry);
    return prepared;
  }

  /** The balance that it must have: the sum of everything that it has committed. */
  get balanceByEntries(): number {
    let sum = this.opening;
    for (const { state, amount } of this.entries.values()) if (state === 'committed') sum += amount;
    return sum;
  }
}

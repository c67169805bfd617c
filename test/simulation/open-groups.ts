import { type Vote, refuse } from '../../src/coordinator/index.js';
import type { MemberVote } from '../../src/coordinator/participant/group.js';
import { type Account, Entry } from './account.js';
import type { Call, MemberMessage, Message } from './message.js';
import type { World } from './world.js';

/** Seldom, the work of a member turns out not to fit into a group. */
const ALONE_SHARE = 0.02;

/**
 * The open work of a participant for a group. It ends with the participant, and with the connection over
 * which it was done.
 */
interface OpenWork {
  readonly isConnected: () => boolean;
  /** The vote of each member, in their order. */
  readonly votes: Map<string, MemberVote>;
  /** The work for each member, in their order. */
  readonly parts: Entry[];
  /** How much of the money it holds. */
  hold: number;
}

/**
 * The groups of one participant up to their prepare: the work of all members is open in one unit, and ends as
 * one.
 */
export class OpenGroups {
  private readonly open = new Map<string, OpenWork>();
  private readonly rolledBack = new Set<string>();
  /** The latest run of each group that was discarded. */
  private readonly discarded = new Map<string, number>();

  constructor(
    private readonly name: string,
    /** Whether the work goes on behind a member that is refused. */
    private readonly goesOn: boolean,
    private readonly account: Account,
    private readonly world: World,
  ) {}

  /** @throws Error when the group is over, or this run of it. */
  run({ key, attempt, members }: Message, { isConnected }: Call): MemberVote[] {
    const { judge, witnesses } = this.world;
    if (!isConnected() || this.rolledBack.has(key) || attempt <= (this.discarded.get(key) ?? 0))
      throw new Error('the group is over');
    if (this.open.has(key))
      judge.violate(`${key}: its work runs again, and was not discarded at ${this.name}`);
    witnesses.count(attempt === 1 ? 'work of a group' : 'work of a group run again');
    const work: OpenWork = { isConnected, votes: new Map(), parts: [], hold: 0 };
    this.open.set(key, work);
    return this.runAll(members, work);
  }

  /**
   * Keeps what is open of the same members in the same places, does the work of the others, and tries some
   * behind them.
   *
   * @throws Error when nothing of the group is open.
   */
  runAgain({ key, members, trials }: Message, { isConnected }: Call): MemberVote[] {
    const { judge, witnesses } = this.world;
    const work = this.open.get(key);
    if (!isConnected() || work === undefined) throw new Error('the group is over');
    witnesses.count('work of a group changed');
    this.keepSame(work, members);
    const votes = this.runAll(members, work);
    const seen = work.parts.map(({ transactionId }) => transactionId);
    const { hold } = work;
    for (const trial of trials) {
      const vote = this.workFor(trial, work);
      votes.push(vote);
      const isProblem = typeof vote === 'object' || vote === 'abort';
      judge.worked(this.name, trial.transactionId, isProblem ? seen : []);
      witnesses.count(isProblem ? 'member refused when it was tried' : 'member tried in vain');
      work.parts.length = seen.length;
      this.account.held -= work.hold - hold;
      work.hold = hold;
    }
    return votes;
  }

  /** Undoes the work behind the last member that is in the same place. */
  private keepSame(work: OpenWork, members: readonly MemberMessage[]): void {
    const ids = [...work.votes.keys()];
    const different = ids.findIndex((id, index) => members[index]?.transactionId !== id);
    if (different === -1) return;
    for (const id of ids.slice(different)) work.votes.delete(id);
    const kept = work.parts.filter(({ transactionId }) => work.votes.has(transactionId));
    work.parts.splice(0, work.parts.length, ...kept);
    let sum = 0;
    let hold = 0;
    for (const { amount, vote } of kept) {
      sum += amount;
      if (vote === 'commit') hold = Math.max(hold, -sum);
    }
    this.account.held += hold - work.hold;
    work.hold = hold;
  }

  private runAll(members: readonly MemberMessage[], work: OpenWork): MemberVote[] {
    const { judge, witnesses } = this.world;
    const votes: MemberVote[] = [];
    for (const member of members) {
      const before = work.votes.get(member.transactionId);
      if (before !== undefined) {
        votes.push(before);
        continue;
      }
      const isBehind = votes.some((vote) => typeof vote === 'object' || vote === 'abort');
      const vote = isBehind && !this.goesOn ? 'not-run' : this.workFor(member, work);
      votes.push(vote);
      work.votes.set(member.transactionId, vote);
      if (vote === 'not-run') continue;
      const isProblem = typeof vote === 'object' || vote === 'abort';
      const seen = isProblem ? work.parts.map(({ transactionId }) => transactionId) : [];
      judge.worked(this.name, member.transactionId, seen);
      if (isProblem) witnesses.count(isBehind ? 'member refused behind another' : 'member refused first');
    }
    return votes;
  }

  discard({ key, attempt }: Message): void {
    this.discarded.set(key, Math.max(attempt, this.discarded.get(key) ?? 0));
    this.drop(key);
  }

  /** @throws Error when nothing of the group is open. */
  prepare({ key, transactionId, branchId }: Message): { readonly entry: Entry; readonly vote: Vote } {
    const work = this.open.get(key);
    if (work === undefined) throw new Error('nothing is open of the group');
    const { faults, random } = this.world;
    const entry = this.account.entryOf(key, transactionId, branchId, 0);
    if (faults.strikes('participant refuses')) {
      this.drop(key);
      entry.state = 'refused';
      return { entry, vote: refuse('AT_PREPARE', 'it will not do', { conflict: random.chance(0.3) }) };
    }
    this.open.delete(key);
    this.account.prepareGroup(entry, work.parts, work.hold);
    const isReader = work.parts.every(({ vote }) => vote === 'read-only');
    if (isReader && random.chance(0.5)) {
      this.account.leaveAsRead(entry);
      return { entry, vote: 'read-only' };
    }
    return { entry, vote: 'commit' };
  }

  /** A rollback arrives. Later work of the group has no effect. */
  rollBack(key: string): void {
    this.rolledBack.add(key);
    this.drop(key);
  }

  /** The process of the participant has ended. */
  loseAll(): void {
    for (const key of this.open.keys()) this.drop(key);
  }

  /** The process at the other end of some connections has ended. */
  loseUnconnected(): void {
    for (const [key, { isConnected }] of this.open) if (!isConnected()) this.drop(key);
  }

  private workFor({ transactionId, branchId, key, transfer }: MemberMessage, work: OpenWork): MemberVote {
    const { faults, random } = this.world;
    if (!faults.isCalm && !faults.areOver && random.chance(ALONE_SHARE)) return 'alone';
    if (faults.strikes('participant throws before its effect'))
      return { vote: 'failed', error: new Error('the work of the member has failed') };
    if (faults.strikes('participant refuses'))
      return random.chance(0.5) ? 'abort' : refuse('DOES_NOT_WANT', 'it will not do');
    const entry = new Entry(key, transactionId, branchId, transfer.amount);
    if (!transfer.readOnly) {
      const sum = work.parts.reduce((before, { amount }) => before + amount, transfer.amount);
      const more = Math.max(0, -sum - work.hold);
      if (more > this.account.available) return refuse('NOT_ENOUGH', 'it has not got so much');
      this.account.held += more;
      work.hold += more;
    }
    entry.vote = transfer.readOnly ? 'read-only' : 'commit';
    work.parts.push(entry);
    return entry.vote;
  }

  private drop(key: string): void {
    const work = this.open.get(key);
    if (work === undefined) return;
    this.open.delete(key);
    this.account.held -= work.hold;
  }
}

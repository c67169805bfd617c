import type { GroupBranch, GroupMember, GroupingParticipant, MemberVote } from '../participant/group.js';
import {
  type Branch,
  type CoordinatorRun,
  type PreparedBranch,
  type Vote,
  refuse,
} from '../participant/participant.js';
import { originOf } from '../protocol/index.js';

/** The pieces that a transaction takes from a stock, by item. A negative number adds. */
export interface Take {
  readonly take?: Readonly<Record<string, number>>;
  /** It throws an error of its own. */
  readonly fails?: boolean;
  /** It takes part in no group. */
  readonly outside?: boolean;
  /** It is found out only by its work that it cannot be part of a group. */
  readonly alone?: boolean;
}

export type Step = 'work' | 'discard' | 'prepare' | 'commit' | 'rollback';

/** One call, with the transaction ids of its members if it is work. */
export interface StockCall {
  readonly step: Step;
  readonly id: string;
  readonly members: readonly string[];
  /** Those that were only tried. */
  readonly trials?: readonly string[];
}

type Items = Map<string, number>;

/** A unit of work that is open or prepared. */
interface Work {
  readonly branchId: string;
  readonly items: Items;
  readonly members: string[];
  isPrepared: boolean;
}

/**
 * A participant with a stock of items, which one unit of work holds as a whole from its work to its end: so
 * units of work run one after the other, as with locks. A take of more than there is is refused.
 */
export class Stock implements GroupingParticipant<Take> {
  readonly grouped = true;
  readonly calls: StockCall[] = [];
  /** Is called before a step takes effect. The stock awaits its result, and answers with its error. */
  before: (call: StockCall) => unknown = () => {};
  /** Called after a step has taken effect. */
  after: (call: StockCall) => unknown = () => {};
  /**
   * Called with the items when the work of a group is undone, so that other transactions may come in between.
   */
  whenUndone: (items: Map<string, number>) => void = () => {};
  /** Whether it does the work of the members behind one that is refused. */
  goesOn = true;
  /** The transactions of which something has taken effect, by id, with their number of times. */
  readonly applied = new Map<string, number>();
  private readonly open = new Map<string, Work>();
  private readonly rolledBack = new Set<string>();
  private readonly waiting: { readonly id: string; readonly enter: (isIn: boolean) => void }[] = [];
  private readonly fenced = new Set<number>();
  private holder: string | undefined;

  readonly rerunGroup?: NonNullable<GroupingParticipant<Take>['rerunGroup']>;

  /** @param reruns whether it can change what is open of a group. */
  constructor(
    private items: Items = new Map(),
    reruns = false,
  ) {
    if (reruns) this.rerunGroup = (group, members, trials) => this.runAgain(group, members, trials);
  }

  get contents(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.items);
  }

  /** Whether nothing is open or prepared. */
  get isIdle(): boolean {
    return this.open.size === 0 && this.holder === undefined && this.waiting.length === 0;
  }

  mayJoinGroup({ outside }: Take): boolean {
    return outside !== true;
  }

  async runGroup(
    { transactionId: id, branchId }: GroupBranch,
    members: readonly GroupMember<Take>[],
  ): Promise<MemberVote[]> {
    const call = { step: 'work', id, members: members.map(({ transactionId }) => transactionId) } as const;
    await this.begin(call);
    const votes = this.runAll(id, branchId, members);
    await this.after(call);
    return votes;
  }

  private async runAgain(
    { transactionId: id, branchId }: GroupBranch,
    members: readonly GroupMember<Take>[],
    trials: readonly GroupMember<Take>[],
  ): Promise<MemberVote[]> {
    const [ofMembers, ofTrials] = [members, trials].map((all) =>
      all.map(({ transactionId }) => transactionId),
    );
    const call = { step: 'work', id, members: ofMembers!, trials: ofTrials! } as const;
    this.calls.push(call);
    await this.before(call);
    if (!this.open.has(id)) throw new Error(`${id} was rolled back`);
    this.whenUndone(this.items);
    const votes = this.runAll(id, branchId, members);
    const { items } = this.open.get(id)!;
    votes.push(...trials.map(({ payload }) => this.voteOf(new Map(items), payload)));
    await this.after(call);
    return votes;
  }

  private runAll(id: string, branchId: string, members: readonly GroupMember<Take>[]): MemberVote[] {
    const work: Work = { branchId, items: new Map(this.items), members: [], isPrepared: false };
    const votes: MemberVote[] = [];
    for (const { payload, transactionId } of members) {
      const isLeftOut = !this.goesOn && votes.some((vote) => typeof vote === 'object');
      const vote = isLeftOut ? 'not-run' : this.voteOf(work.items, payload);
      votes.push(vote);
      if (vote === 'commit') work.members.push(transactionId);
    }
    this.open.set(id, work);
    return votes;
  }

  async discardGroup({ transactionId: id }: GroupBranch): Promise<void> {
    await this.before(this.called('discard', id));
    if (this.open.delete(id)) this.whenUndone(this.items);
    this.leave(id);
  }

  async prepare({ transactionId: id, branchId, payload }: Branch<Take>): Promise<Vote> {
    const call = { step: 'prepare', id, members: [] } as const;
    const ofGroup = this.open.get(id);
    if (ofGroup !== undefined) {
      await this.before(this.called('prepare', id));
      if (this.rolledBack.has(id)) return refuse('ROLLED_BACK', 'it was rolled back before');
      ofGroup.isPrepared = true;
      await this.after(call);
      return 'commit';
    }
    await this.begin(call);
    const items = new Map(this.items);
    const vote = this.workOn(items, payload);
    if (vote !== 'commit') {
      this.leave(id);
      if (typeof vote === 'object' && vote.vote === 'failed') throw vote.error;
      return vote as Vote;
    }
    this.open.set(id, { branchId, items, members: [id], isPrepared: true });
    await this.after(call);
    return 'commit';
  }

  async commit({ transactionId: id }: Branch<Take>): Promise<void> {
    await this.before(this.called('commit', id));
    const work = this.open.get(id);
    if (work === undefined) return;
    if (!work.isPrepared) throw new Error(`${id} is not prepared`);
    this.items = work.items;
    for (const member of work.members) this.applied.set(member, (this.applied.get(member) ?? 0) + 1);
    this.open.delete(id);
    this.leave(id);
    await this.after({ step: 'commit', id, members: [] });
  }

  async rollback({ transactionId: id }: Branch<Take | undefined>): Promise<void> {
    await this.before(this.called('rollback', id));
    this.rolledBack.add(id);
    this.open.delete(id);
    this.leave(id);
  }

  recover(): readonly PreparedBranch[] {
    return [...this.open].flatMap(([transactionId, { branchId, isPrepared }]) =>
      isPrepared ? [{ transactionId, branchId }] : [],
    );
  }

  /** Ends the open work of a run that was fenced. Prepared branches stay. */
  endSessionsOf({ epoch }: Pick<CoordinatorRun, 'epoch'>): void {
    this.fenced.add(epoch);
    const isOf = (id: string): boolean => originOf(id)?.epoch === epoch;
    const unprepared = [...this.open].filter(([id, { isPrepared }]) => isOf(id) && !isPrepared);
    for (const [id] of unprepared) {
      this.open.delete(id);
      this.leave(id);
    }
    for (const { id } of this.waiting.filter((waiting) => isOf(waiting.id))) this.leave(id);
  }

  /** The prepared branches, as a participant that follows a script shows them. */
  get effects(): ReadonlyMap<string, 'prepared'> {
    return new Map(
      this.recover().map(({ transactionId, branchId }) => [`${transactionId}/${branchId}`, 'prepared']),
    );
  }

  /** The ids of the members of each run of work, in order. */
  get works(): readonly (readonly string[])[] {
    return this.calls.filter(({ step }) => step === 'work').map(({ members }) => members);
  }

  count(step: Step): number {
    return this.calls.filter((call) => call.step === step).length;
  }

  private called(step: Step, id: string, members: readonly string[] = []): StockCall {
    const call = { step, id, members };
    this.calls.push(call);
    return call;
  }

  private async begin({ step, id, members }: StockCall): Promise<void> {
    const call = this.called(step, id, members);
    // It takes its place at once, so that everything comes in the same order at each stock.
    const entered = this.enter(id);
    await this.before(call);
    if (!(await entered) || this.rolledBack.has(id) || this.fenced.has(originOf(id)?.epoch ?? 0)) {
      this.leave(id);
      throw new Error(`${id} was rolled back`);
    }
  }

  private voteOf(items: Items, payload: Take): MemberVote {
    return payload.alone ? 'alone' : this.workOn(items, payload);
  }

  private workOn(items: Items, { take = {}, fails }: Take): MemberVote {
    if (fails) return { vote: 'failed', error: new Error('the work has failed') };
    const entries = Object.entries(take);
    for (const [item, count] of entries) {
      if ((items.get(item) ?? 0) < count) return refuse('OUT', `there is not enough of ${item}`);
    }
    for (const [item, count] of entries) items.set(item, (items.get(item) ?? 0) - count);
    return entries.length === 0 ? 'read-only' : 'commit';
  }

  private enter(id: string): Promise<boolean> {
    if (this.holder === undefined) {
      this.holder = id;
      return Promise.resolve(true);
    }
    return new Promise((enter) => this.waiting.push({ id, enter }));
  }

  private leave(id: string): void {
    const index = this.waiting.findIndex((waiting) => waiting.id === id);
    if (index !== -1) this.waiting.splice(index, 1)[0]!.enter(false);
    if (this.holder !== id) return;
    const next = this.waiting.shift();
    this.holder = next?.id;
    next?.enter(true);
  }
}

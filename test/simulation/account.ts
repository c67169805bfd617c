import type { HeuristicKind } from '../../src/coordinator/index.js';
import type { Judge } from './judge.js';

/** What a branch is asked to do: to move money, or only to look. Both sides of a transfer add up to nothing. */
export interface Transfer {
  readonly amount: number;
  readonly readOnly: boolean;
}

export type EntryState = 'none' | 'prepared' | 'committed' | 'undone' | 'read-only' | 'refused';

/** One line of the books: what was really done for one branch. It is the marker by which the branch is found again. */
export class Entry {
  state: EntryState = 'none';
  /** The vote that left the participant; a throw or garbage is none. */
  vote: 'commit' | 'read-only' | undefined;
  /** What the participant says of a branch that it ended of its own accord. */
  heuristic: HeuristicKind | undefined;

  constructor(
    readonly key: string,
    readonly transactionId: string,
    readonly branchId: string,
    readonly amount: number,
  ) {}
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
    if (entry.amount < 0 && this.balance - this.held < -entry.amount) return false;
    if (entry.amount < 0) this.held -= entry.amount;
    entry.state = 'prepared';
    return true;
  }

  commit(entry: Entry): void {
    if (entry.state !== 'prepared') return;
    if (entry.amount < 0) this.held += entry.amount;
    this.balance += entry.amount;
    entry.state = 'committed';
    this.judge.ended(entry, this.owner);
  }

  undo(entry: Entry): void {
    if (entry.state !== 'prepared') return;
    if (entry.amount < 0) this.held += entry.amount;
    entry.state = 'undone';
    this.judge.ended(entry, this.owner);
  }

  /** The branches that are prepared and were told no decision. */
  prepared(): Entry[] {
    const prepared: Entry[] = [];
    for (const entry of this.entries.values()) if (entry.state === 'prepared') prepared.push(entry);
    return prepared;
  }

  /** What it has to have when everything that it has committed is added up. */
  get balanceByEntries(): number {
    let sum = this.opening;
    for (const { state, amount } of this.entries.values()) if (state === 'committed') sum += amount;
    return sum;
  }
}

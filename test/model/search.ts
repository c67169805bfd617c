import { Healing } from './healing.js';
import { NO_STATE, StateTable } from './state-table.js';

/** One kind of step that a model can take: atomic, and with one result. */
export interface Step<State> {
  /** What happens, in words: a line of the path to a violation. */
  readonly name: string;
  /** Whether it needs no fault and no choice: once nothing fails any more, what is due happens in the end. */
  readonly heals: boolean;
  when(state: State): boolean;
  /** Changes the state in place. */
  take(state: State): void;
}

/** What a search needs to know of a world. */
export interface Model<State> {
  /** How many 32-bit words a packed state takes. */
  readonly width: number;
  readonly steps: readonly Step<State>[];
  /** @returns a new state, the initial one. */
  create(): State;
  pack(state: State, words: Int32Array, at: number): void;
  unpack(words: Int32Array, at: number, state: State): void;
  /**
   * Replaces a packed state by the one that stands for all that differ from it by names alone.
   *
   * @returns how many those are.
   */
  canonicalise(words: Int32Array, at: number): number;
  /** @throws Violation when a state must not be. */
  check(state: State): void;
  /** Whether the state is one that must stay in reach: see {@link SearchResult.stuck}. */
  isDecided(state: State): boolean;
}

/** Something happened that must never happen. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

export interface SearchResult {
  /** How many states were visited, one for each set of states that differ by names alone. */
  readonly representatives: number;
  /** How many states there are. */
  readonly states: number;
  /** How many steps were taken, those included that lead back to where they began. */
  readonly steps: number;
  /** The length of the longest shortest path. */
  readonly depth: number;
  /** What must not be, and a shortest way to it; undefined when there is nothing of the kind. */
  readonly violation: { readonly message: string; readonly path: readonly string[] } | undefined;
  /** The path to a state from which healing steps lead to no decided state. */
  readonly stuck: readonly string[] | undefined;
}

/** Visits every state that can be reached, nearest first, and checks each; stops at the first violation. */
export function search<State>(model: Model<State>): SearchResult {
  return new Search(model).run();
}

class Search<State> {
  private readonly table: StateTable;
  private readonly healing = new Healing();
  private readonly current: State;
  private readonly next: State;
  private parents = new Int32Array(1 << 11);
  private states = 0;
  private steps = 0;
  private depth = 0;
  private levelEnd = 1;

  constructor(private readonly model: Model<State>) {
    this.table = new StateTable(model.width);
    this.current = model.create();
    this.next = model.create();
  }

  run(): SearchResult {
    try {
      this.add(this.current, NO_STATE, false);
    } catch (error) {
      return this.violated(error, []);
    }
    for (let from = 0; from < this.table.count; from++) {
      if (from === this.levelEnd) {
        this.depth++;
        this.levelEnd = this.table.count;
      }
      this.load(from, this.current);
      this.healing.begin(this.model.isDecided(this.current));
      for (const step of this.model.steps) {
        if (!step.when(this.current)) continue;
        this.steps++;
        this.load(from, this.next);
        try {
          step.take(this.next);
          this.add(this.next, from, step.heals);
        } catch (error) {
          return this.violated(error, error instanceof Violation ? this.pathTo(from, step) : []);
        }
      }
    }
    const stuck = this.healing.firstStuck();
    return this.result(undefined, stuck === NO_STATE ? undefined : this.pathTo(stuck));
  }

  private load(number: number, state: State): void {
    this.model.unpack(this.table.words, number * this.model.width, state);
  }

  private add(state: State, from: number, heals: boolean): void {
    const { table, model } = this;
    const before = table.count;
    model.pack(state, table.words, table.draft);
    const alike = model.canonicalise(table.words, table.draft);
    const to = table.add();
    if (heals && to !== from) this.healing.step(to);
    if (to !== before) return;
    this.states += alike;
    if (to === this.parents.length) {
      const parents = new Int32Array(to * 2);
      parents.set(this.parents);
      this.parents = parents;
    }
    this.parents[to] = from;
    model.check(state);
  }

  private violated(error: unknown, path: readonly string[]): SearchResult {
    if (!(error instanceof Violation)) throw error;
    return this.result({ message: error.message, path }, undefined);
  }

  private result(violation: SearchResult['violation'], stuck: readonly string[] | undefined): SearchResult {
    const { steps, states, depth } = this;
    return { representatives: this.table.count, states, steps, depth, violation, stuck };
  }

  /**
   * Walks from the initial state to a state that was found, and on. Each state found stands for others as
   * well, so the walk looks in each place for the step that leads to the next or to one alike: that keeps the
   * names.
   */
  private pathTo(target: number, last?: Step<State>): string[] {
    const { model, table } = this;
    const numbers: number[] = [];
    for (let number = target; number !== 0; number = this.parents[number]!) numbers.unshift(number);
    const here = new Int32Array(model.width);
    const there = new Int32Array(model.width);
    const state = model.create();
    model.pack(state, here, 0);
    const names: string[] = [];
    for (const number of numbers) {
      const at = number * model.width;
      const found = model.steps.find((step) => {
        model.unpack(here, 0, state);
        if (!step.when(state)) return false;
        step.take(state);
        model.pack(state, there, 0);
        model.canonicalise(there, 0);
        return there.every((word, index) => word === table.words[at + index]);
      })!;
      names.push(found.name);
      model.pack(state, here, 0);
    }
    if (last === undefined) return names;
    // The step may go by another name from here; among those that may be taken it is the one that fails.
    const failing = model.steps.find((step) => {
      model.unpack(here, 0, state);
      if (!step.when(state)) return false;
      try {
        step.take(state);
        model.check(state);
        return false;
      } catch {
        return true;
      }
    });
    return [...names, (failing ?? last).name];
  }
}

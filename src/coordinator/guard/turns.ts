/** Keeps the calls for a branch in order. */
export class Turns {
  /** The running calls. Repeats join them, so a hanging call has no queue of repeats behind it. */
  private readonly calls = new Map<string, Promise<unknown>>();
  /** The last of the queued steps of each branch. */
  private readonly turns = new Map<string, Promise<unknown>>();

  /** The number of running calls and steps. */
  get size(): number {
    return this.calls.size + this.turns.size;
  }

  /** Makes a call, unless one of its name is running. */
  once<T>(name: string, call: () => Promise<T>): Promise<T> {
    const underWay = this.calls.get(name);
    // All calls of one name have the same type.
    if (underWay !== undefined) return underWay as Promise<T>;
    const answer = call().finally(() => this.calls.delete(name));
    this.calls.set(name, answer);
    return answer;
  }

  /**
   * Runs the steps of one branch one after the other, so that no step reads a state that another is about to
   * change.
   */
  inTurn<T>(key: string, step: () => Promise<T>): Promise<T> {
    const before = this.turns.get(key);
    const turn = before === undefined ? step() : before.then(step, step);
    this.turns.set(key, turn);
    return turn.finally(() => {
      if (this.turns.get(key) === turn) this.turns.delete(key);
    });
  }
}

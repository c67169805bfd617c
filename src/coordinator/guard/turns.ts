/** Keeps the calls for a branch in order. */
export class Turns {
  /** Calls under way, which repeats join: one that hangs is not queued behind again and again. */
  private readonly calls = new Map<string, Promise<unknown>>();
  /** For each branch the last of the steps that are under way. */
  private readonly turns = new Map<string, Promise<unknown>>();

  /** How many calls and steps are under way. */
  get size(): number {
    return this.calls.size + this.turns.size;
  }

  /** Makes a call, unless one of its name is under way. */
  once<T>(name: string, call: () => Promise<T>): Promise<T> {
    const underWay = this.calls.get(name);
    // Of one name all have one type.
    if (underWay !== undefined) return underWay as Promise<T>;
    const answer = call().finally(() => this.calls.delete(name));
    this.calls.set(name, answer);
    return answer;
  }

  /** Takes the steps of one branch one after the other, so that none reads what another is about to change. */
  inTurn<T>(key: string, step: () => Promise<T>): Promise<T> {
    const before = this.turns.get(key);
    const turn = before === undefined ? step() : before.then(step, step);
    this.turns.set(key, turn);
    return turn.finally(() => {
      if (this.turns.get(key) === turn) this.turns.delete(key);
    });
  }
}

import { NO_STATE } from './state-table.js';

/**
 * The steps that a search may count on once nothing fails any more, and the question whether from every state
 * some of them lead to a decided one (AG EF in the words of temporal logic). States come in the order of
 * their numbers.
 */
export class Healing {
  private targets = new Int32Array(1 << 12);
  private targetCount = 0;
  private starts = new Float64Array(1 << 11);
  private decided = new Uint8Array(1 << 11);
  private count = 0;

  /** The steps reported from now on begin in the next state. */
  begin(isDecided: boolean): void {
    if (this.count + 1 >= this.starts.length) {
      const starts = new Float64Array(this.starts.length * 2);
      starts.set(this.starts);
      this.starts = starts;
      const decided = new Uint8Array(this.decided.length * 2);
      decided.set(this.decided);
      this.decided = decided;
    }
    this.starts[this.count] = this.targetCount;
    this.decided[this.count] = Number(isDecided);
    this.count++;
    this.starts[this.count] = this.targetCount;
  }

  /** A step leads to this state. */
  step(to: number): void {
    // The initial state is found before any step begins.
    if (this.count === 0) return;
    if (this.targetCount === this.targets.length) {
      const targets = new Int32Array(this.targets.length * 2);
      targets.set(this.targets);
      this.targets = targets;
    }
    this.targets[this.targetCount++] = to;
    this.starts[this.count] = this.targetCount;
  }

  /**
   * Goes through the states again and again, backwards since most steps lead forwards, until no more of them
   * are found to lead to a decided one.
   *
   * @returns the first that does not, or {@link NO_STATE}.
   */
  firstStuck(): number {
    const { decided, starts, targets } = this;
    for (let hasChanged = true; hasChanged;) {
      hasChanged = false;
      for (let state = this.count - 1; state >= 0; state--) {
        if (decided[state] === 1) continue;
        for (let step = starts[state]!; step < starts[state + 1]!; step++) {
          if (decided[targets[step]!] === 0) continue;
          decided[state] = 1;
          hasChanged = true;
          break;
        }
      }
    }
    const first = decided.subarray(0, this.count).indexOf(0);
    return first === -1 ? NO_STATE : first;
  }
}

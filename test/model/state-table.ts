/** A number no state has. */
export const NO_STATE = -1;

/**
 * The states that a search has found, numbered in the order of their discovery. A state is a few 32-bit
 * words; all of them lie in one typed array behind one hash table with open addressing, since millions of
 * objects would not fit.
 */
export class StateTable {
  /** How many states there are. */
  count = 0;
  /** The words of every state, one state after the other. */
  words: Int32Array;
  private slots = new Int32Array(1 << 12).fill(NO_STATE);

  /** @param width how many words make a state. */
  constructor(private readonly width: number) {
    this.words = new Int32Array(width << 12);
  }

  /** @returns the place in {@link words} where the next state may be written before it is added. */
  get draft(): number {
    return this.count * this.width;
  }

  /**
   * Adds the draft.
   *
   * @returns its number; it is new if that is the greatest so far.
   */
  add(): number {
    const { words, width, draft } = this;
    const mask = this.slots.length - 1;
    for (let slot = this.hash(draft) & mask; ; slot = (slot + 1) & mask) {
      const found = this.slots[slot]!;
      if (found === NO_STATE) {
        this.slots[slot] = this.count++;
        if (this.count * 2 > this.slots.length) this.grow();
        return this.count - 1;
      }
      let word = 0;
      while (word < width && words[found * width + word] === words[draft + word]) word++;
      if (word === width) return found;
    }
  }

  private hash(at: number): number {
    let hash = 0x9e3779b9 | 0;
    for (let word = 0; word < this.width; word++) {
      hash = Math.imul(hash ^ this.words[at + word]!, 0x85ebca6b);
      hash ^= hash >>> 15;
    }
    hash = Math.imul(hash, 0xc2b2ae35);
    return hash ^ (hash >>> 16);
  }

  private grow(): void {
    const words = new Int32Array(this.words.length * 2);
    words.set(this.words);
    this.words = words;
    const slots = new Int32Array(this.slots.length * 2).fill(NO_STATE);
    const mask = slots.length - 1;
    for (let state = 0; state < this.count; state++) {
      let slot = this.hash(state * this.width) & mask;
      while (slots[slot] !== NO_STATE) slot = (slot + 1) & mask;
      slots[slot] = state;
    }
    this.slots = slots;
  }
}

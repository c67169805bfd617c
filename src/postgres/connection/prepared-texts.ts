import { hasMovingLiteral } from './moving-literals.js';
import { OWN_MARK } from './own-names.js';

/** The most texts that are kept for one connection. Texts that differ for each branch do not stay long. */
const MOST_TEXTS = 100;

/** Longer texts, in characters, are not prepared, since both sides would keep them. */
const LONGEST_TEXT = 10_000;

/** The name of a statement in the session of its connection. */
export interface StatementName {
  readonly name: string;
  /** Whether it already exists; if not, it is prepared when it is sent. */
  readonly isThere: boolean;
}

/**
 * The statements of batches that have come on one connection. A repeated one is prepared: for a small
 * statement, parsing and planning takes the server longer than running it.
 */
export class PreparedTexts {
  /** The name of a text; `seen` is not prepared yet, and `left` never will be. */
  private readonly texts = new Map<string, { readonly name: string } | 'seen' | 'left'>();
  private made = 0;

  /**
   * @param atOnce whether it is prepared even when it comes for the first time.
   * @returns undefined when it is not to be prepared: it is long, has failed, or has a literal of which the
   * value may change.
   */
  nameOf(text: string, atOnce: boolean): StatementName | undefined {
    if (text.length > LONGEST_TEXT) return undefined;
    const known = this.texts.get(text);
    if (typeof known === 'object') return { name: known.name, isThere: true };
    if (known === 'left') return undefined;
    if (known === undefined && !this.note(text)) return undefined;
    // No name is used twice: it is unknown whether a failed statement was prepared.
    return known === 'seen' || atOnce
      ? { name: `dtc ${OWN_MARK} ${++this.made}`, isThere: false }
      : undefined;
  }

  /** Whether even a text that may never come again can be prepared: there is room for many others. */
  get isRoomy(): boolean {
    return this.texts.size < MOST_TEXTS / 2;
  }

  /** The server has run the text under this name. */
  prepared(text: string, name: string): void {
    this.texts.set(text, { name });
  }

  /** The text failed when it was to be prepared, and is not prepared again. */
  failed(text: string): void {
    this.texts.set(text, 'left');
  }

  /** Whether it is not prepared because that has failed before. */
  isLeft(text: string): boolean {
    return this.texts.get(text) === 'left';
  }

  /** The session has lost the statements, or they no longer fit. */
  clear(): void {
    this.texts.clear();
  }

  /** @returns whether there is a place for it. */
  private note(text: string): boolean {
    if (hasMovingLiteral(text)) return false;
    if (this.texts.size >= MOST_TEXTS) {
      const oldest = [...this.texts.keys()].find((other) => typeof this.texts.get(other) === 'string');
      if (oldest === undefined) return false;
      this.texts.delete(oldest);
    }
    this.texts.set(text, 'seen');
    return true;
  }
}

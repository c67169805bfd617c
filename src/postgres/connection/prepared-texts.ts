import { OWN_MARK } from './own-names.js';

/** So many texts are known of one connection. Texts that are made up anew for each branch find no place for long. */
const MOST_TEXTS = 100;

/** Longer ones, in characters, are left as they are: they are kept on both sides. */
const LONGEST_TEXT = 10_000;

/** What a statement is called in the session of its connection. */
export interface StatementName {
  readonly name: string;
  /** Whether it is there already; if not, it is made when it is sent. */
  readonly isThere: boolean;
}

/**
 * The statements of batches that have come on one connection. One that comes again is prepared: to parse and plan a small
 * statement takes the server longer than to run it.
 */
export class PreparedTexts {
  /** What a text is called; `seen` is not prepared yet, and `left` never will be. */
  private readonly texts = new Map<string, { readonly name: string } | 'seen' | 'left'>();
  private made = 0;

  /**
   * @param atOnce whether it is prepared also when it comes for the first time.
   * @returns undefined when it is not to be prepared.
   */
  nameOf(text: string, atOnce: boolean): StatementName | undefined {
    if (text.length > LONGEST_TEXT) return undefined;
    const known = this.texts.get(text);
    if (typeof known === 'object') return { name: known.name, isThere: true };
    if (known === 'left') return undefined;
    if (known === undefined && !this.note(text)) return undefined;
    // No name is given twice: of a statement that failed nobody knows whether it was prepared.
    return known === 'seen' || atOnce
      ? { name: `dtc ${OWN_MARK} ${++this.made}`, isThere: false }
      : undefined;
  }

  /** The server has run it under this name. */
  prepared(text: string, name: string): void {
    this.texts.set(text, { name });
  }

  /** It failed when it was to be prepared, and is left as it is. */
  failed(text: string): void {
    this.texts.set(text, 'left');
  }

  /** Whether it is not to be prepared, as that has failed before. */
  isLeft(text: string): boolean {
    return this.texts.get(text) === 'left';
  }

  /** The session has lost them, or they do not fit any more. */
  clear(): void {
    this.texts.clear();
  }

  /** @returns whether there is a place for it. */
  private note(text: string): boolean {
    if (this.texts.size >= MOST_TEXTS) {
      const oldest = [...this.texts.keys()].find((other) => typeof this.texts.get(other) === 'string');
      if (oldest === undefined) return false;
      this.texts.delete(oldest);
    }
    this.texts.set(text, 'seen');
    return true;
  }
}

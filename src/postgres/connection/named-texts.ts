import { DatabaseError } from 'pg';
import { OWN_MARK } from './own-names.js';

/** The most texts that are kept for one connection, and the most of them that have a name. */
const MOST_TEXTS = 100;

/** Longer texts, in characters, get no name, since both sides would keep them. */
const LONGEST_TEXT = 10_000;

/**
 * Matches a change of rows. It has no result columns: those of another statement may be altered with their
 * table, and PostgreSQL then refuses the prepared statement.
 */
const CHANGE = /^\s*(?:insert|update|delete|merge)\b/i;

/**
 * Matches result columns, and literals. A literal such as 'now' is read when the statement is prepared, with
 * the settings of that moment.
 */
const NOT_KEPT = /\breturning\b|'|\$\w*\$/i;

/** The SQLSTATEs of a statement whose prepared form may no longer fit: its types, its objects or its name. */
const NO_LONGER_FITS = /^(?:22|42|0A|26)/;

/** A text with a name. */
export interface NamedText {
  readonly name: string;
  /** Whether the server has run the text under this name. */
  isThere: boolean;
}

/**
 * The changes that work has sent on one connection, with values. A repeated one gets a name, under which `pg`
 * prepares it: for a small statement, parsing and planning takes the server longer than running it.
 */
export class NamedTexts {
  /** The name of a text; `seen` has none yet, and `left` never will have. */
  private readonly texts = new Map<string, NamedText | 'seen' | 'left'>();
  private made = 0;
  private named = 0;

  /** @returns undefined when the text is to be sent without a name. */
  nameOf(text: string): NamedText | undefined {
    const known = this.texts.get(text);
    if (typeof known === 'object') return known;
    if (known === 'left') return undefined;
    if (known === undefined) {
      this.note(text);
      return undefined;
    }
    if (this.named === MOST_TEXTS) return undefined;
    this.named++;
    // The same name again is right after any failure: `pg` knows whether the server has the statement.
    const made = { name: `dtc ${OWN_MARK} named ${++this.made}`, isThere: false };
    this.texts.set(text, made);
    return made;
  }

  /** The server has run the text under its name, if it has kept that. */
  succeeded(text: string): void {
    const known = this.texts.get(text);
    if (typeof known === 'object') known.isThere = true;
  }

  /** A statement with a name has failed. It gets no name again where the prepared form may be the cause. */
  failed(text: string, error: unknown): void {
    if (error instanceof DatabaseError && !NO_LONGER_FITS.test(error.code ?? '')) return;
    if (this.texts.has(text)) this.texts.set(text, 'left');
  }

  /** The session has lost the statements. */
  clear(): void {
    this.texts.clear();
    this.named = 0;
  }

  private note(text: string): void {
    if (text.length > LONGEST_TEXT || !CHANGE.test(text) || NOT_KEPT.test(text)) return;
    if (this.texts.size >= MOST_TEXTS) {
      const oldest = [...this.texts.keys()].find((other) => typeof this.texts.get(other) === 'string');
      if (oldest === undefined) return;
      this.texts.delete(oldest);
    }
    this.texts.set(text, 'seen');
  }
}

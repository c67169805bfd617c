import type { LockWait, PreparedTransaction } from '../../coordinator/index.js';
import type { Knowledge } from './knowledge.js';

/** A prepared transaction in a database, with what the coordinator knows of it. */
export interface PreparedView extends Omit<PreparedTransaction, 'statements'> {
  readonly knowledge: Knowledge;
  /** The reason, for people. */
  readonly why: string;
  /** The statement that ends it as decided; null while the decision is not known. */
  readonly statement: string | null;
  /** The user that must run it, and where; null without a statement. */
  readonly how: string | null;
}

/** The database of one participant, or of several. */
export interface DatabaseView {
  readonly title: string;
  readonly participants: readonly string[];
  /** Why nothing is known of it now; else null. */
  readonly problem: string | null;
  readonly prepared: readonly PreparedView[];
  readonly preparedTotal: number;
  readonly waits: readonly LockWait[];
  readonly waitsTotal: number;
  readonly notes: readonly string[];
}

/** The databases of the participants at one moment. */
export interface DatabasesView {
  /** ISO 8601. */
  readonly at: string;
  readonly databases: readonly DatabaseView[];
  /** The participants that do not show a database. */
  readonly unseen: readonly { readonly participant: string; readonly why: string }[];
}

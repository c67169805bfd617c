import { DatabaseError, type PoolClient, type QueryConfig } from 'pg';
import { execute, isOneStatement, isPreparable } from '../branch/batch-text.js';
import type { Batch } from '../branch/batch.js';
import { literalOf } from '../connection/literals.js';
import { sendScript } from '../connection/script.js';
import { textsOf } from '../branch/session.js';

/** Matches a statement that may take an advisory lock for the session, which the group would keep. */
const ADVISORY = /advisory/i;

/** The work of a member, as it is sent. */
export interface SentWork {
  /** Each statement as one that is prepared in the session. */
  readonly statements: readonly string[];
}

/** The properties of a statement that a group can have. */
const KNOWN: ReadonlySet<string> = new Set(['text', 'values', 'name']);

/** Texts that are remembered. */
const MOST_TEXTS = 100;

/** The texts of one participant, with whether each can be part of a group. */
export class Signatures {
  private readonly mayBeGrouped = new Map<string, boolean>();

  /** @returns an identifier of the work apart from its values; undefined if it cannot be part of any group. */
  of(statements: readonly QueryConfig[]): string | undefined {
    let signature: string | undefined;
    for (const statement of statements) {
      const { text, values } = statement;
      if (typeof text !== 'string' || !Object.keys(statement).every((key) => KNOWN.has(key)))
        return undefined;
      if (values !== undefined && !Array.isArray(values)) return undefined;
      if (!this.fits(text)) return undefined;
      signature = signature === undefined ? text : `${signature}\n;${text}`;
    }
    return signature ?? '';
  }

  private fits(text: string): boolean {
    const known = this.mayBeGrouped.get(text);
    if (known !== undefined) return known;
    // Only what PREPARE accepts can neither end the transaction nor change the session, but through a function.
    const fits = isPreparable(text) && isOneStatement(text) && !ADVISORY.test(text);
    if (this.mayBeGrouped.size >= MOST_TEXTS) this.mayBeGrouped.clear();
    this.mayBeGrouped.set(text, fits);
    return fits;
  }
}

/**
 * The SQLSTATEs of a statement that can never be prepared. Others, such as a time-out, say nothing of the
 * statement.
 */
const NEVER_PREPARED = /^(?:42|0A)/;

/**
 * Prepares, in the session, the statements of the members, as far as they are likely to come again. Nothing
 * is open yet, so one that cannot be prepared harms no other. Each is a transaction of its own, which the
 * server ends after a while: to prepare a statement may wait for the lock of another transaction on its
 * table.
 *
 * @param limitMs how long each may take at the server.
 * @returns the names of all statements that the session has. The members with others run on their own.
 * @throws when the connection is lost.
 */
export async function prepareTexts(
  client: PoolClient,
  works: readonly Batch[],
  limitMs: number,
): Promise<ReadonlyMap<string, string>> {
  const counts = new Map<string, number>();
  const named = new Set<string>();
  for (const { statements } of works) {
    for (const { text, name } of statements) {
      counts.set(text, (counts.get(text) ?? 0) + 1);
      if (name !== undefined) named.add(text);
    }
  }
  const texts = textsOf(client);
  const names = new Map<string, string>();
  const preparing: Promise<void>[] = [];
  // Several statements in one query are one transaction, in which the setting lasts.
  const limited = `SELECT NULL FROM pg_catalog.set_config('statement_timeout', '${Math.max(1, Math.ceil(limitMs))}', true)`;
  for (const [text, count] of counts) {
    const as = texts.nameOf(text, count > 1 || named.has(text) || texts.isRoomy);
    if (as?.isThere === true) names.set(text, as.name);
    else if (as !== undefined) {
      const { name } = as;
      preparing.push(
        sendScript(client, `${limited}; PREPARE "${name}" AS ${text}\n`).then(({ error }) => {
          if (error === undefined) {
            texts.prepared(text, name);
            names.set(text, name);
          } else if (!(error instanceof DatabaseError)) throw error;
          else if (NEVER_PREPARED.test(error.code ?? '')) texts.failed(text);
        }),
      );
    }
  }
  await Promise.all(preparing);
  return names;
}

/**
 * @param names of the statements that the session has.
 * @returns undefined if a statement, or a value, cannot be part of a text. @throws an error for an invalid
 * value.
 */
export function sentWork(batch: Batch, names: ReadonlyMap<string, string>): SentWork | undefined {
  const statements: string[] = [];
  for (const { text, values = [] } of batch.statements) {
    const name = names.get(text);
    const literals = values.map(literalOf);
    if (name === undefined || literals.includes(undefined)) return undefined;
    statements.push(execute(name, literals));
  }
  return { statements };
}

import type { QueryConfig } from 'pg';
import { literalOf } from '../connection/literals.js';
import { OWN_MARK } from '../connection/own-names.js';
import type { PreparedTexts } from '../connection/prepared-texts.js';
import { mayEnd } from './transaction-watch.js';

/** Matches the possible start of a second statement in one text. */
const MORE_THAN_ONE = /;\s*\S/;

/**
 * Matches statements that change the prepared statements of a session, or load code into it. Only the answer
 * shows whether they did.
 */
const MAY_SPOIL = /\b(?:prepare|deallocate|discard|load)\b/i;

/** Matches the statements that PREPARE accepts, after comments. */
const PREPARABLE = /^(?:\s|--.*\n|\/\*[^*]*\*\/)*(?:select|insert|update|delete|merge|with|values)\b/i;

/** Whether PREPARE accepts a statement, as far as its text shows. */
export function isPreparable(text: string): boolean {
  return PREPARABLE.test(text);
}

/** Whether a text is one statement, and not several. */
export function isOneStatement(text: string): boolean {
  return !MORE_THAN_ONE.test(text);
}

/** The name of a statement that is prepared for one use only: a statement with values needs a name. */
export const ONCE = `dtc ${OWN_MARK} once`;

/** The statements of a batch as text. */
export interface BatchText {
  readonly statements: readonly string[];
  /** The positions of the batch's statements among the results. */
  readonly at: readonly number[];
  /** The texts that the batch prepares and keeps, by their names. */
  readonly made: ReadonlyMap<string, string>;
  /** Whether the batch uses a statement that was prepared before. */
  readonly usesKept: boolean;
  /** Whether the batch prepares a statement and drops it again. */
  readonly usesOnce: boolean;
}

/** Whether a statement only needs to run with its values, inside the open transaction. */
export function isPlain({ text, values, name: _name, ...more }: QueryConfig): boolean {
  if (!isOneStatement(text) || mayEnd(text) || MAY_SPOIL.test(text) || Object.keys(more).length > 0) {
    return false;
  }
  return values === undefined || Array.isArray(values);
}

/**
 * Writes the statements of a batch as one text that includes their values. A statement that has values or is
 * repeated is prepared: PostgreSQL then reads a value as it reads one that is sent beside the text.
 *
 * @param keeps whether a repeated statement stays prepared.
 * @returns undefined if a statement or a value must be sent by itself. @throws an error for an invalid value.
 */
export function textOfBatch(
  queries: readonly QueryConfig[],
  texts: PreparedTexts,
  keeps: boolean,
): BatchText | undefined {
  const statements: string[] = [];
  const at: number[] = [];
  const made = new Map<string, string>();
  let usesKept = false;
  let usesOnce = false;
  for (const { text, values = [], name } of queries) {
    const literals = values.map(literalOf);
    if (literals.includes(undefined)) return undefined;
    const canBePrepared = isPreparable(text);
    const kept = made.get(text);
    const as =
      kept === undefined && keeps && canBePrepared ? texts.nameOf(text, name !== undefined) : undefined;
    if (kept === undefined && as === undefined) {
      // A comment at the end of the text must not hide the text behind it.
      const line = `${text}\n`;
      if (literals.length === 0) at.push(statements.push(line) - 1);
      else if (!canBePrepared || texts.isLeft(text)) return undefined;
      else {
        usesOnce = true;
        statements.push(`PREPARE "${ONCE}" AS ${line}`);
        at.push(statements.push(execute(ONCE, literals)) - 1);
        statements.push(`DEALLOCATE "${ONCE}"`);
      }
      continue;
    }
    const known = kept ?? as!.name;
    if (as?.isThere === true) usesKept = true;
    else if (as !== undefined) {
      made.set(text, as.name);
      statements.push(`PREPARE "${as.name}" AS ${text}\n`);
    }
    at.push(statements.push(execute(known, literals)) - 1);
  }
  return { statements, at, made, usesKept, usesOnce };
}

/** @returns SQL that runs a prepared statement. @param literals its values as SQL. */
export function execute(name: string, literals: readonly unknown[]): string {
  return literals.length === 0 ? `EXECUTE "${name}"` : `EXECUTE "${name}" (${literals.join(', ')})`;
}

import type { QueryConfig } from 'pg';
import { literalOf } from '../connection/literals.js';
import { OWN_MARK } from '../connection/own-names.js';
import type { PreparedTexts } from '../connection/prepared-texts.js';
import { mayEnd } from './transaction-watch.js';

/** What may be the start of a second statement in one text. */
const MORE_THAN_ONE = /;\s*\S/;

/** What changes the prepared statements of a session, or loads code into it: whether it did, only its answer says. */
const MAY_SPOIL = /\b(?:prepare|deallocate|discard|load)\b/i;

/** What PREPARE takes, after comments. */
const PREPARABLE = /^(?:\s|--.*\n|\/\*[^*]*\*\/)*(?:select|insert|update|delete|merge|with|values)\b/i;

/** A statement that is prepared for one use only: to be sent with values, it has to have a name. */
export const ONCE = `dtc ${OWN_MARK} once`;

/** The statements of a batch as text. */
export interface BatchText {
  readonly statements: readonly string[];
  /** Which of the results are those of the batch's statements. */
  readonly at: readonly number[];
  /** The texts that are prepared in it, to be kept, by their names. */
  readonly made: ReadonlyMap<string, string>;
  /** Whether a statement is used that was prepared before. */
  readonly usesKept: boolean;
  /** Whether a statement is prepared in it that is dropped again. */
  readonly usesOnce: boolean;
}

/** Whether a statement asks for nothing but to be run with its values, inside the transaction that is open. */
export function isPlain({ text, values, name: _name, ...more }: QueryConfig): boolean {
  if (MORE_THAN_ONE.test(text) || mayEnd(text) || MAY_SPOIL.test(text) || Object.keys(more).length > 0) {
    return false;
  }
  return values === undefined || Array.isArray(values);
}

/**
 * Writes the statements of a batch as one text, with their values in it. One that has values, or comes again, is prepared:
 * PostgreSQL then reads a value as it reads one that is sent beside the text.
 *
 * @param keeps whether a statement that comes again stays prepared.
 * @returns undefined where a statement or a value has to be sent by itself. @throws what is wrong with a value.
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
    const isPreparable = PREPARABLE.test(text);
    const kept = made.get(text);
    const as =
      kept === undefined && keeps && isPreparable ? texts.nameOf(text, name !== undefined) : undefined;
    if (kept === undefined && as === undefined) {
      // A comment at its end must not hide what comes behind it.
      const line = `${text}\n`;
      if (literals.length === 0) at.push(statements.push(line) - 1);
      else if (!isPreparable || texts.isLeft(text)) return undefined;
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

function execute(name: string, literals: readonly unknown[]): string {
  return literals.length === 0 ? `EXECUTE "${name}"` : `EXECUTE "${name}" (${literals.join(', ')})`;
}

import { DatabaseError, type PoolClient, escapeLiteral } from 'pg';
import { type Vote, refuse } from '../../coordinator/participant/participant.js';
import type { Batch } from '../branch/batch.js';
import { UNLOCK, prepareOwn, statementsOf } from '../branch/session.js';
import { OWN_MARK } from '../connection/own-names.js';
import { lastRowsOf } from '../connection/own-queries.js';
import { codeOf } from '../sqlstate.js';

/** White space as PostgreSQL reads it. That of JavaScript has characters which belong to a name there. */
const SPACE = String.raw`[ \t\r\n\f]`;
const NAME = String.raw`(?:[a-z_][\w$]*|"[^"]+")`;
const COMMA = String.raw`${SPACE}*,${SPACE}*`;
const NAMES = `${NAME}(?:${COMMA}${NAME})*`;
const VALUE = String.raw`(?:\$\d+|-?\d+|null|default)`;
const ROW = String.raw`\(${SPACE}*${VALUE}(?:${COMMA}${VALUE})*${SPACE}*\)`;

/** Matches a change of one table. It has no parentheses, so it calls no function, and no dot, which may call one as well. */
const CHANGE = new RegExp(
  String.raw`^${SPACE}*(?:update|delete${SPACE}+from)${SPACE}+(${NAME}(?:\.${NAME})?)${SPACE}` +
    String.raw`((?:[\w$ \t\r\n\f,=<>+\-*/%!]|"[^"]+")*)$`,
  'i',
);

/** Matches the insertion of values into one table. */
const INSERT = new RegExp(
  String.raw`^${SPACE}*insert${SPACE}+into${SPACE}+(${NAME}(?:\.${NAME})?)${SPACE}*(?:\(${SPACE}*${NAMES}${SPACE}*\)${SPACE}*)?` +
    String.raw`(values${SPACE}*${ROW}(?:${COMMA}${ROW})*(?:${SPACE}+returning${SPACE}+${NAMES})?)${SPACE}*$`,
  'i',
);

/** Matches what may name another table, and comments. PostgreSQL 14 reads a keyword directly behind a number. */
const MORE = /--|\/\*|(?:\b|\d)(?:select|from|using|with|join|only|table|current|into)\b/i;

/** The first number of an object that is not of PostgreSQL itself. */
const OWN_SINCE = "'16384'::pg_catalog.oid";

/**
 * Matches an expression with a type of the user, such as a domain and its check, or one that calls a function of the user, or one of
 * PostgreSQL that sets a setting or runs SQL: `set_config`, `query_to_xml` and the like, `ts_stat` and `ts_rewrite`. Their numbers
 * are the same in all versions.
 */
const UNSAFE = escapeLiteral(
  '(:funcid ([0-9]{5,}|2078|29[234][0-9]|36[89][0-9])|:[a-z_]*type([iI]d)? [0-9]{5,})[^0-9]',
);

/** The functions of foreign keys that change nothing: those that check, and those without an action or with RESTRICT. */
const CHECKS = [1644, 1645, 1648, 1649, 1654, 1655].map((number) => `'${number}'::pg_catalog.oid`).join(', ');

/** The statement that looks at tables. */
const LOOK = `dtc neutral ${OWN_MARK}`;

/** SQLSTATE `invalid_text_representation`: the proof has failed. Nothing else in the query of a prepare reads a text as a number. */
const NOT_PROVEN = '22P02';

/** The savepoint before the proof. */
const PROOF = `dtc_${OWN_MARK}_proof`;

/** Texts that are remembered. */
const MOST_TEXTS = 100;

/** How long a table counts as one that may run other code. */
const OTHER_FOR_MS = 60_000;

/** In so many groups it is noted when each member is done, once that was missed. */
const WATCHED = 16;

/** So many of the latest times of groups count for their pace, so that a busy machine is not taken for slow work. */
const LATEST = 4;

/** What is known of the only table of a statement. */
interface KnownText {
  readonly table: string;
  readonly isNeutral: boolean;
  /** When it is looked up again. */
  readonly until: number;
}

/** Sends one query of a group. @throws when nothing may be sent for it any more. */
type Send = <T>(query: (client: PoolClient) => Promise<T>) => Promise<T>;

/** @returns the only table of a statement that calls nothing; undefined if it may have others, or call something. */
export function tableOf(text: string): string | undefined {
  const [, table, rest] = CHANGE.exec(text) ?? INSERT.exec(text) ?? [];
  return table === undefined || MORE.test(`${table} ${rest}`) ? undefined : table;
}

/** @returns the refusal of a group whose prepare has this error; undefined if it is not the proof that has failed. */
function refusalOfProof(error: unknown): Vote | undefined {
  if (codeOf(error) !== NOT_PROVEN) return undefined;
  return refuse(
    'OTHER_CODE',
    'since a table of the group was looked up, it may run other code, or the database has an operator, a cast or a table of the ' +
      'same name that may: each transaction runs on its own',
  );
}

/**
 * Finds the members that can change nothing but rows, so that nothing of the session need be reset behind them, and no
 * constraint checked: each statement changes one table and calls nothing, and nothing of that table calls code of the user, has
 * rules or policies, or is deferred. Whether it is so is proven when the work is done: then the tables are locked, and stay as
 * they are until the group has ended.
 */
export class NeutralWork {
  private readonly texts = new Map<string, KnownText>();
  private watched = 0;
  /** How slow the latest groups were, as a part of what is slow. */
  private pace = 0;

  /** A group begins. @returns whether it is to be noted when each of its members is done. */
  isWatched(): boolean {
    return this.watched > 0 && this.watched-- > 0;
  }

  /** It was not found out which member has failed, or was slow. */
  watch(): void {
    this.watched = WATCHED;
    this.pace = 0;
  }

  /** @param share how long the members of a group took together, as a part of what is slow for one of them. */
  took(share: number): void {
    this.pace += (share - this.pace) / LATEST;
    if (this.pace > 1) this.watch();
  }

  /** Looks up the tables of texts that are not known, and gives the session what the proof needs. */
  async lookUp(send: Send, works: readonly Batch[]): Promise<void> {
    const tables = new Map<string, string>();
    for (const { statements } of works) {
      for (const { text } of statements) {
        const table = this.texts.get(text)?.table ?? tableOf(text);
        // One that is not neutral keeps the whole group from it.
        if (table === undefined) return;
        tables.set(text, table);
      }
    }
    if (!(await this.ready(send))) return;
    for (const [text, table] of tables) {
      const known = this.texts.get(text);
      if (known !== undefined && known.until > performance.now()) continue;
      const isNeutral = await this.isNeutral(send, table);
      if (this.texts.size >= MOST_TEXTS) this.texts.clear();
      const until = isNeutral ? Infinity : performance.now() + OTHER_FOR_MS;
      this.texts.set(text, { table, isNeutral, until });
    }
  }

  /** @returns the tables of the members; undefined if one of them may not be neutral, as far as was last known. */
  tablesOf(works: readonly Batch[]): ReadonlySet<string> | undefined {
    const tables = new Set<string>();
    for (const { statements } of works) {
      // A part with nothing to send would be an empty query.
      if (statements.length === 0) return undefined;
      for (const { text } of statements) {
        const known = this.texts.get(text);
        if (known?.isNeutral !== true) return undefined;
        tables.add(known.table);
      }
    }
    return tables;
  }

  /**
   * Ends the transaction of a group, and proves before that the work that was done with these tables was neutral. The advisory
   * locks of the session are released by then.
   *
   * @param end ends it behind other statements, with the meaning of an error that only those can cause.
   * @returns the vote. @throws as `end` does.
   */
  async end(
    client: PoolClient,
    tables: ReadonlySet<string>,
    end: (first: readonly string[], refusalOfFirst?: (error: unknown) => Vote | undefined) => Promise<Vote>,
  ): Promise<Vote> {
    if (tables.size === 0) return end([UNLOCK]);
    let vote: Vote | undefined;
    try {
      vote = await end(proofOf(tables), refusalOfProof);
      return vote;
    } finally {
      // A table may have changed since it was looked up.
      if (vote !== 'commit') {
        this.texts.clear();
        statementsOf(client).delete(LOOK);
      }
    }
  }

  /** @returns whether the session has the statement that looks at tables. */
  private ready(send: Send): Promise<boolean> {
    return send(async (client) => {
      try {
        await prepareOwn(client, LOOK, prepareLook);
        return true;
      } catch (error) {
        if (error instanceof DatabaseError) return false;
        throw error;
      }
    });
  }

  private async isNeutral(send: Send, table: string): Promise<boolean> {
    try {
      const [row] = await send((client) =>
        lastRowsOf<{ neutral: string | null }>(client, look(table, false)),
      );
      return row!.neutral === 'true';
    } catch (error) {
      // The schema may not be looked at: the member itself shows why.
      if (error instanceof DatabaseError) return false;
      throw error;
    }
  }
}

/**
 * @returns statements of which one is an error unless all of these tables are neutral. They go back to a savepoint, which
 * releases their locks on the catalogs: the prepared transaction would keep each, and log it.
 */
function proofOf(tables: ReadonlySet<string>): string[] {
  const looks = [...tables].map((table) => look(table, true));
  return [`SAVEPOINT ${PROOF}`, ...looks, `ROLLBACK TO ${PROOF}`];
}

function look(table: string, isProof: boolean): string {
  return `EXECUTE "${LOOK}" (${escapeLiteral(table)}, ${isProof})`;
}

/** Who creates functions, operators or casts may have them called by any statement. */
function prepareLook(): string {
  const isOwn = `OPERATOR(pg_catalog.>=) ${OWN_SINCE}`;
  const table = [
    `t.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)::pg_catalog.oid`,
    `t.relkind OPERATOR(pg_catalog.=) 'r'`,
    `t.relpersistence OPERATOR(pg_catalog.<>) 't'`,
    // A statement that was prepared before the other table was made does not mean that one.
    `(SELECT pg_catalog.count(*) FROM pg_catalog.pg_class AS other WHERE other.relname OPERATOR(pg_catalog.=) t.relname ` +
      `AND other.oid OPERATOR(pg_catalog.<>) t.oid AND (SELECT nspname FROM pg_catalog.pg_namespace AS place ` +
      `WHERE place.oid OPERATOR(pg_catalog.=) other.relnamespace) OPERATOR(pg_catalog.=) ` +
      `ANY (pg_catalog.current_schemas(true))) OPERATOR(pg_catalog.=) 0`,
    // The number of the access method heap.
    `t.relam OPERATOR(pg_catalog.=) '2'::pg_catalog.oid`,
    'NOT (t.relhasrules OR t.relrowsecurity OR t.relhassubclass OR t.relispartition)',
    `(NOT t.relhastriggers OR ${ofTable(
      'pg_trigger',
      'tgrelid',
      `(tgdeferrable OR tgfoid OPERATOR(pg_catalog.<>) ALL (ARRAY[${CHECKS}]))`,
    )})`,
    ofTable('pg_attribute', 'attrelid', `atttypid ${isOwn}`),
    // The planner may put the condition in front, and the whole catalog would be matched.
    ofTable(
      'pg_attrdef',
      'adrelid',
      `CASE WHEN adrelid OPERATOR(pg_catalog.=) t.oid THEN ${unsafe('adbin')} END`,
    ),
    `(t.relchecks OPERATOR(pg_catalog.=) 0 OR ${ofTable('pg_constraint', 'conrelid', unsafe('conbin'))})`,
    ofTable(
      'pg_index',
      'indrelid',
      `(${unsafe('indexprs')} OR ${unsafe('indpred')} OR ` +
        `EXISTS (SELECT FROM pg_catalog.unnest(indclass) AS class WHERE class ${isOwn}))`,
    ),
  ];
  const neutral = [
    none(`pg_catalog.pg_operator WHERE oid ${isOwn}`),
    none(`pg_catalog.pg_cast WHERE oid ${isOwn}`),
    `EXISTS (SELECT FROM pg_catalog.pg_class AS t WHERE ${table.join(' AND ')})`,
  ];
  return (
    `PREPARE "${LOOK}" (pg_catalog.text, pg_catalog.bool) AS SELECT found.neutral::pg_catalog.text AS neutral, ` +
    `(CASE WHEN found.neutral OR NOT $2 THEN '0' ELSE 'a table of the group may run other code now' END)::pg_catalog.int4, ` +
    // All work is done then. A statement of its own would cost as much as a member.
    `CASE WHEN $2 THEN pg_catalog.pg_advisory_unlock_all()::pg_catalog.text END ` +
    `FROM (SELECT ${neutral.join(' AND ')} AS neutral OFFSET 0) AS found`
  );
}

/** Counts what fits, by the index of the table. NOT EXISTS may read the whole catalog. */
function ofTable(catalog: string, column: string, condition: string): string {
  const where = `${column} OPERATOR(pg_catalog.=) t.oid AND ${condition}`;
  return `(SELECT pg_catalog.count(*) FROM pg_catalog.${catalog} WHERE ${where}) OPERATOR(pg_catalog.=) 0`;
}

function none(what: string): string {
  return `NOT EXISTS (SELECT FROM ${what})`;
}

function unsafe(expression: string): string {
  return `${expression}::pg_catalog.text OPERATOR(pg_catalog.~) ${UNSAFE}`;
}

import { createRequire } from 'node:module';
import { type Connection, type PoolClient, Query, type QueryConfig, type QueryResult } from 'pg';
import { serialize } from 'pg-protocol';
import type { StatementName } from './prepared-texts.js';

/** How the client turns a value into what is sent: it has no types of its own for this. */
const { prepareValue } = createRequire(import.meta.url)('pg/lib/utils.js') as {
  prepareValue: (value: unknown) => string | Buffer | null;
};

/** What the server answered to a burst. */
export type BurstAnswer = {
  /** The command tags of the statements that were done, in their order; none for an empty one. */
  readonly tags: readonly (string | undefined)[];
} & (
  | { /** Of the user's statements. */ readonly results: readonly QueryResult[] }
  /** The statement after those that were done failed. What came behind it was not looked at. */
  | { readonly error: unknown }
);

/** A statement that is prepared in the session already, and as text. Only its command tag is of interest. */
export interface PreparedStatement {
  readonly name: string;
  readonly values: readonly string[];
  readonly text: string;
}

/** A statement of the user's, with its values and rows. */
export interface BurstQuery {
  readonly text: string;
  readonly values?: readonly unknown[] | undefined;
  /** What it is called in the session; left out where it is not prepared. */
  readonly as?: StatementName | undefined;
}

/** A statement of ours, of which only the command tag is of interest; or one of the user's. */
export type BurstStatement = string | PreparedStatement | BurstQuery;

/** What may be the begin of a second statement in one text, which only the simple protocol takes. */
const MORE_THAN_ONE = /;\s*\S/;

/**
 * What may end a transaction, or only looks like it: `ROLLBACK TO SAVEPOINT` has the tag of a `ROLLBACK`. One by one, such
 * statements can be told apart.
 */
const MAY_END = /\b(?:rollback|commit|begin|start\s+transaction|end|abort|prepare\s+transaction)\b/i;

/** Whether a connection can send a burst: its client has to be of our copy of `pg`, as it knows its own queries only. */
export function takesBursts(client: PoolClient): boolean {
  return client.pipeline && (client.constructor as { Query?: unknown }).Query === Query;
}

/** Whether a statement asks for nothing but to be run with its values, inside the transaction that is open. */
export function isPlain({ text, values, name: _name, ...more }: QueryConfig): boolean {
  if (MORE_THAN_ONE.test(text) || MAY_END.test(text) || Object.keys(more).length > 0) return false;
  return values === undefined || Array.isArray(values);
}

/** A burst that is ready to be sent. */
export interface ReadyBurst {
  readonly statements: readonly BurstStatement[];
  readonly message: Buffer;
}

/** @throws what is wrong with a value, before anything is sent. */
export function makeBurst(statements: readonly BurstStatement[]): ReadyBurst {
  const messages: Buffer[] = [];
  for (const statement of statements) pushMessages(messages, statement);
  messages.push(SYNC);
  return { statements, message: Buffer.concat(messages) };
}

/**
 * Sends statements in one write, to be answered in one: to write to a socket, and to be woken by what comes from it, costs
 * both sides more than the work of a small transaction. When one fails the server passes over all that follow it.
 *
 * Source: PostgreSQL documentation, "Extended Query" and "Pipelining": messages up to one Sync.
 */
export function sendBurst(client: PoolClient, { statements, message }: ReadyBurst): Promise<BurstAnswer> {
  return new Promise((resolve) => {
    const burst = new Burst(message, statements, (error: unknown, results?: QueryResult | QueryResult[]) => {
      const { tags } = burst;
      if (results === undefined) resolve({ tags, error });
      else resolve({ tags, results: statements.some(isOfUser) ? [results].flat() : [] });
    });
    client.query(burst);
  });
}

/** As the client knows it, this is one query with many results. */
class Burst extends Query {
  readonly tags: (string | undefined)[] = [];

  constructor(
    private readonly message: Buffer,
    private readonly statements: readonly BurstStatement[],
    callback: (error: unknown, results?: QueryResult | QueryResult[]) => void,
  ) {
    // The text is for whoever looks at what is sent.
    super(statements.map(textOf).join('; '), undefined, callback as never);
  }

  override submit = (connection: Connection): void => {
    connection.stream.write(this.message);
  };

  handleCommandComplete(message: { readonly text: string }, connection: Connection): void {
    const statement = this.statements[this.tags.length]!;
    this.tags.push(message.text);
    // Of ours nothing else is of interest, and a result takes as long to make as its statement to send.
    if (isOfUser(statement)) {
      (Query.prototype as unknown as Burst).handleCommandComplete.call(this, message, connection);
    }
  }

  handleEmptyQuery(): void {
    this.tags.push(undefined);
  }
}

function isOfUser(statement: BurstStatement): boolean {
  return typeof statement !== 'string' && !('name' in statement);
}

/** As one text, for where a burst cannot be sent: with nothing but statements of ours. */
export function textOf(statement: BurstStatement): string {
  return typeof statement === 'string' ? statement : statement.text;
}

/** The statement that lasts until the next is parsed. */
const UNNAMED = '';
const SYNC = serialize.sync();
const BIND_NOTHING = serialize.bind({});
const DESCRIBE = serialize.describe({ type: 'P' });
const EXECUTE = serialize.execute({});

function pushMessages(messages: Buffer[], statement: BurstStatement): void {
  if (typeof statement === 'string') {
    messages.push(serialize.parse({ text: statement }), BIND_NOTHING, EXECUTE);
    return;
  }
  if ('name' in statement) {
    messages.push(serialize.bind({ statement: statement.name, values: [...statement.values] }), EXECUTE);
    return;
  }
  const { text, values = [], as } = statement;
  const name = as?.name ?? UNNAMED;
  if (!as?.isThere) messages.push(serialize.parse({ name, text }));
  const bind = serialize.bind({ statement: name, values: [...values], valueMapper: prepareValue });
  messages.push(bind, DESCRIBE, EXECUTE);
}

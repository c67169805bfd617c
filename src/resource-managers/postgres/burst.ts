import { createRequire } from 'node:module';
import { type Connection, type PoolClient, Query, type QueryConfig, type QueryResult } from 'pg';
import { serialize } from 'pg-protocol';

/** How the client turns a value into what is sent: it has no types of its own for this. */
const { prepareValue } = createRequire(import.meta.url)('pg/lib/utils.js') as {
  prepareValue: (value: unknown) => string | Buffer | null;
};

/** What the server answered to a burst. */
export type BurstAnswer =
  | { readonly results: readonly QueryResult[] }
  /** `done` statements were done, and the one after them failed. What came behind it was not looked at. */
  | { readonly error: unknown; readonly done: number };

/** A statement of ours, of which only the command tag is of interest; or one of the user's, with its values and rows. */
export type BurstStatement = string | QueryConfig;

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
export function isPlain({ text, values, ...more }: QueryConfig): boolean {
  if (MORE_THAN_ONE.test(text) || MAY_END.test(text) || Object.keys(more).length > 0) return false;
  return values === undefined || Array.isArray(values);
}

/**
 * Sends statements in one write, to be answered in one: to write to a socket, and to be woken by what comes from it, costs
 * both sides more than the work of a small transaction. When one fails the server passes over all that follow it.
 *
 * Source: PostgreSQL documentation, "Extended Query" and "Pipelining": messages up to one Sync.
 *
 * @throws (as a rejection) what is wrong with a value. Then nothing was sent.
 */
export async function sendBurst(
  client: PoolClient,
  statements: readonly BurstStatement[],
): Promise<BurstAnswer> {
  const message = Buffer.concat([...statements.flatMap(messagesOf), serialize.sync()]);
  return new Promise((resolve) => {
    const burst = new Burst(message, (error: unknown, results?: QueryResult | readonly QueryResult[]) => {
      if (results === undefined) resolve({ error, done: burst.done });
      else resolve({ results: [results].flat() });
    });
    client.query(burst);
  });
}

/** As the client knows it, this is one query with many results. */
class Burst extends Query {
  /** How many statements the server has answered with a command tag. */
  done = 0;

  constructor(
    private readonly message: Buffer,
    callback: (error: unknown, results?: QueryResult | readonly QueryResult[]) => void,
  ) {
    super({ text: '' }, undefined, callback as never);
  }

  override submit = (connection: Connection): void => {
    connection.stream.write(this.message);
  };

  handleCommandComplete(message: unknown, connection: Connection): void {
    this.done++;
    (Query.prototype as unknown as Burst).handleCommandComplete.call(this, message, connection);
  }
}

function messagesOf(statement: BurstStatement): Buffer[] {
  if (typeof statement === 'string') {
    return [serialize.parse({ text: statement }), serialize.bind({}), serialize.execute({})];
  }
  const { text, values = [] } = statement;
  return [
    serialize.parse({ text }),
    serialize.bind({ values, valueMapper: prepareValue }),
    serialize.describe({ type: 'P' }),
    serialize.execute({}),
  ];
}

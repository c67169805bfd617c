import { type Connection, type PoolClient, Query } from 'pg';

/** What the server answered to a script. */
export interface ScriptAnswer {
  /** The command tags of the statements that were done, in their order. */
  readonly tags: readonly string[];
  /** What kept the statement after those from being done. What comes behind it was not looked at. */
  readonly error?: unknown;
}

type Callback = (error: unknown) => void;
type QueryClass = new (text: string, values: undefined, callback: Callback) => Query;

interface TagMessage {
  readonly text: string;
}

const classes = new WeakMap<QueryClass, (client: PoolClient, sql: string) => Promise<ScriptAnswer>>();

/**
 * Sends statements of the library's own as one text, and collects nothing but their command tags: so it is known which were
 * done where one fails, and no results are made of them.
 */
export function sendScript(client: PoolClient, sql: string): Promise<ScriptAnswer> {
  const Base = ((client.constructor as { Query?: unknown }).Query ?? Query) as QueryClass;
  let send = classes.get(Base);
  if (send === undefined) classes.set(Base, (send = scriptsOf(Base)));
  return send(client, sql);
}

/** A client knows only queries of its own copy of `pg`. */
function scriptsOf(Base: QueryClass): (client: PoolClient, sql: string) => Promise<ScriptAnswer> {
  class Script extends Base {
    readonly tags: string[] = [];

    handleCommandComplete(message: TagMessage, _connection: Connection): void {
      this.tags.push(message.text);
    }

    handleRowDescription(): void {}

    handleDataRow(): void {}
  }
  return (client, sql) =>
    new Promise((resolve) => {
      const script = new Script(sql, undefined, (error) => {
        const { tags } = script;
        resolve(error ? { tags, error } : { tags });
      });
      client.query(script);
    });
}

import type { PoolClient } from 'pg';
import { resultsOf } from './own-queries.js';

/** The server's answer to a script. */
export interface ScriptAnswer {
  /** The first word of the answer to each statement, in order. Empty when one has failed. */
  readonly commands: readonly string[];
  /** The error of the failed statement; `pg` does not tell which one it was. Later statements did not run. */
  readonly error?: unknown;
}

/** Sends statements of the library's own as one text. Only the commands of their results are used. */
export async function sendScript(client: PoolClient, sql: string): Promise<ScriptAnswer> {
  try {
    return { commands: (await resultsOf(client, sql)).map(({ command }) => command) };
  } catch (error) {
    return { commands: [], error };
  }
}

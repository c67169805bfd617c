import type { PoolClient } from 'pg';
import { resultsOf } from './own-queries.js';

/** What the server answered to a script. */
export interface ScriptAnswer {
  /** The first word of the answer to each statement, in their order. There are none when one has failed. */
  readonly commands: readonly string[];
  /** Why one has failed; `pg` does not say which. What comes behind it was not looked at. */
  readonly error?: unknown;
}

/** Sends statements of the library's own as one text. Of their results only the commands are of interest. */
export async function sendScript(client: PoolClient, sql: string): Promise<ScriptAnswer> {
  try {
    return { commands: (await resultsOf(client, sql)).map(({ command }) => command) };
  } catch (error) {
    return { commands: [], error };
  }
}

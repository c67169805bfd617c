import type { ClientBase, CustomTypesConfig, QueryResult } from 'pg';

/**
 * How the library reads its own results: as the text that the server sends. What an application sets for all of its results,
 * with `types.setTypeParser`, `defaults.binary` or the `types` of a pool, changes nothing here.
 */
const AS_TEXT = { getTypeParser: () => String } as unknown as CustomTypesConfig;

/** A row of which every column is text: cast those that are not, with `::text`. */
export type TextRow = Readonly<Record<string, string | null>>;

/** A query of the library's own. @returns its rows. */
export async function rowsOf<R extends TextRow>(
  client: ClientBase,
  text: string,
  values?: readonly unknown[],
): Promise<R[]> {
  const { rows } = await client.query<R>({ text, types: AS_TEXT, ...(values && { values: [...values] }) });
  return rows;
}

/** Several statements in one query, one transaction unless they begin another. @returns the result of each. */
export async function resultsOf<R extends TextRow>(
  client: ClientBase,
  text: string,
): Promise<QueryResult<R>[]> {
  // With several statements `pg` returns a list.
  return [await client.query<R>({ text, types: AS_TEXT })].flat();
}

/** As {@link resultsOf}. @returns the rows of the last statement that has any. */
export async function lastRowsOf<R extends TextRow>(client: ClientBase, text: string): Promise<R[]> {
  const results = await resultsOf<R>(client, text);
  return results.findLast(({ fields }) => fields.length > 0)?.rows ?? [];
}

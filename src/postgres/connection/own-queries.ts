import type { ClientBase, CustomTypesConfig, QueryResult } from 'pg';

/**
 * How the library reads its own results: as the text that the server sends. Settings of the application for
 * its own results, with `types.setTypeParser`, `defaults.binary` or the `types` of a pool, have no effect
 * here.
 */
const AS_TEXT = { getTypeParser: () => String } as unknown as CustomTypesConfig;

/** A row whose columns are all text: cast other types with `::text`. */
export type TextRow = Readonly<Record<string, string | null>>;

/**
 * Runs a query of the library's own.
 *
 * @param name the server keeps the text under it, parsed and planned, as long as the connection lasts.
 * @returns its rows.
 */
export async function rowsOf<R extends TextRow>(
  client: ClientBase,
  text: string,
  values?: readonly unknown[],
  name?: string,
): Promise<R[]> {
  const { rows } = await client.query<R>({
    text,
    types: AS_TEXT,
    ...(values && { values: [...values] }),
    ...(name !== undefined && { name }),
  });
  return rows;
}

/**
 * Runs several statements in one query, as one transaction unless they begin another. @returns the result of
 * each.
 */
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

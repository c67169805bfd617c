/** Numbers as people read them. */
export const number = new Intl.NumberFormat('en');

export function bytes(count: number | null): string {
  return count === null ? '–' : `${number.format(count)} B`;
}

/**
 * @param words the columns that are no figures, and begin at the left.
 * @returns one line a row, each cell as wide as the widest of its column.
 */
export function aligned(rows: readonly (readonly string[])[], words: readonly number[] = []): string[] {
  const widths = rows[0]!.map((_cell, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const cellOf = (text: string, column: number): string =>
    words.includes(column) ? text.padEnd(widths[column]!) : text.padStart(widths[column]!);
  return rows.map((row) => `  ${row.map(cellOf).join('  ')}`.trimEnd());
}

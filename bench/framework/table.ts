/** Formats a number for people. */
export const number = new Intl.NumberFormat('en');

export function bytes(count: number | null): string {
  return count === null ? '–' : `${number.format(count)} B`;
}

/**
 * @param words the columns of text, which are aligned to the left.
 * @returns one line a row, with each cell as wide as the widest cell of its column.
 */
export function aligned(rows: readonly (readonly string[])[], words: readonly number[] = []): string[] {
  const widths = rows[0]!.map((_cell, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const cellOf = (text: string, column: number): string =>
    words.includes(column) ? text.padEnd(widths[column]!) : text.padStart(widths[column]!);
  return rows.map((row) => `  ${row.map(cellOf).join('  ')}`.trimEnd());
}

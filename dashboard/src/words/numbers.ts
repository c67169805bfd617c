const WHOLE = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const FINE = new Intl.NumberFormat('en-GB', { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export function formatCount(count: number): string {
  return WHOLE.format(count);
}

/** @returns a rate per second: with a decimal while it is small. */
export function formatRate(rate: number): string {
  return rate < 99.95 ? FINE.format(rate) : WHOLE.format(rate);
}

/** @returns `1 transaction`, `2 transactions`. */
export function plural(count: number, noun: string, nouns = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : nouns}`;
}

/** @returns the value below which this share (0 to 1) of the samples lies; NaN when there is no sample. */
export function quantile(samples: Iterable<number>, share: number): number {
  const sorted = Float64Array.from(samples).toSorted();
  const place = Math.min(sorted.length - 1, Math.floor(sorted.length * share));
  return sorted[place] ?? Number.NaN;
}

export function median(samples: Iterable<number>): number {
  return quantile(samples, 0.5);
}

export function round(value: number, digits = 0): number {
  return Number(value.toFixed(digits));
}

/** Numbers from 0 (included) to 1 (excluded), the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

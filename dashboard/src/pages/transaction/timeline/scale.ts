/** The position of a moment in the picture. */
export type Scale = (atMs: number) => number;

/** The width of the smallest gap, so that events at nearly one moment stay distinct. */
const LEAST_WEIGHT = 0.6;

/**
 * A scale on which every moment keeps its place in the order, and a long wait takes little more room than a
 * short one: milliseconds of voting and minutes of retries fit into one picture.
 *
 * @param moments in order, each once; at least one.
 */
export function compressedScale(moments: readonly number[], fromX: number, toX: number): Scale {
  const weights = moments
    .slice(1)
    .map((moment, index) => LEAST_WEIGHT + Math.log2(1 + moment - moments[index]!));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const places = [fromX];
  for (const weight of weights) places.push(places.at(-1)! + (weight / total) * (toX - fromX));
  return (atMs) => {
    const after = moments.findIndex((moment) => moment >= atMs);
    if (after === -1) return toX;
    if (after === 0) return fromX;
    const [before, next] = [moments[after - 1]!, moments[after]!];
    const share = (atMs - before) / (next - before);
    return places[after - 1]! + share * (places[after]! - places[after - 1]!);
  };
}

/** @returns the labelled moments: the first, and each with room to its neighbours. */
export function ticksOf(moments: readonly number[], scale: Scale, leastDistance: number): number[] {
  const ticks: number[] = [];
  for (const moment of moments) {
    const last = ticks.at(-1);
    if (last === undefined || scale(moment) - scale(last) >= leastDistance) ticks.push(moment);
  }
  return ticks;
}

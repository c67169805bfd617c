import type { Import } from './imports.ts';

/** All imports of one part from another, as one arrow. */
export interface Arrow {
  readonly from: string;
  readonly to: string;
  /** How many imports it stands for. */
  readonly weight: number;
  readonly typesOnly: boolean;
}

/** @returns one arrow for each two parts of which one imports the other, in the order of their names. */
export function arrowsBetween(
  imports: readonly Import[],
  partOf: (file: string) => string | undefined,
): Arrow[] {
  const arrows = new Map<string, Arrow>();
  for (const each of imports) {
    const [from, to] = [partOf(each.from), partOf(each.to)];
    if (from === undefined || to === undefined || from === to) continue;
    const key = `${from} ${to}`;
    const before = arrows.get(key);
    arrows.set(key, {
      from,
      to,
      weight: (before?.weight ?? 0) + 1,
      typesOnly: (before?.typesOnly ?? true) && each.typesOnly,
    });
  }
  return [...arrows.values()].toSorted(byName);
}

/**
 * Parts arrows into those that lead down and those that lead back up: of each cycle, the arrow that stands
 * for the fewest imports.
 */
export function untangle(arrows: readonly Arrow[]): { down: Arrow[]; up: Arrow[] } {
  const down = [...arrows];
  const up: Arrow[] = [];
  for (;;) {
    const [weakest] = down
      .filter(({ from, to }) => reaches(down, to, from))
      .toSorted((one, other) => one.weight - other.weight || byName(one, other));
    if (weakest === undefined) return { down, up };
    up.push(weakest);
    down.splice(down.indexOf(weakest), 1);
  }
}

/** @returns whether an arrow is implied by a longer way between the same two. */
export function isImplied(arrow: Arrow, arrows: readonly Arrow[]): boolean {
  return arrows.some(
    ({ from, to }) => from === arrow.from && to !== arrow.to && reaches(arrows, to, arrow.to),
  );
}

/**
 * @returns the floor of each part: 0 for one that imports none, else one above the highest that it imports.
 */
export function floorsOf(parts: readonly string[], down: readonly Arrow[]): Map<string, number> {
  const floors = new Map<string, number>();
  function floorOf(part: string): number {
    const known = floors.get(part);
    if (known !== undefined) return known;
    const below = down.filter(({ from }) => from === part).map(({ to }) => floorOf(to));
    const floor = Math.max(-1, ...below) + 1;
    floors.set(part, floor);
    return floor;
  }
  for (const part of parts) floorOf(part);
  return floors;
}

/** @returns whether a way leads from one part to another; a part reaches itself. */
export function reaches(arrows: readonly Arrow[], start: string, end: string): boolean {
  const seen = new Set([start]);
  for (const part of seen) {
    if (part === end) return true;
    for (const { from, to } of arrows) if (from === part) seen.add(to);
  }
  return false;
}

function byName(one: Arrow, other: Arrow): number {
  const [a, b] = [`${one.from} ${one.to}`, `${other.from} ${other.to}`];
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

import { type Arrow, floorsOf, isImplied, untangle } from './graph.ts';

/** A box of the picture. Sizes are in pixels. */
export interface Part {
  readonly id: string;
  readonly width: number;
  readonly height: number;
}

export interface Place {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly floor: number;
}

export interface Line extends Arrow {
  /** From the bottom of a box to the top of another, or back up, through the gaps between the boxes. */
  readonly points: readonly Point[];
  /** Against the direction of the others. */
  readonly up: boolean;
  /** A longer way leads to the same place. */
  readonly implied: boolean;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly places: ReadonlyMap<string, Place>;
  readonly lines: readonly Line[];
}

/** One thing in the row of a floor: a box, or a gap that lines pass through. */
interface Cell {
  readonly key: string;
  readonly width: number;
  readonly height: number;
  x: number;
}

/** A line between two neighbouring floors. */
interface Step {
  readonly above: Cell;
  readonly below: Cell;
}

const GAP = 26;
const LANE = 12;
const BETWEEN_FLOORS = 64;
const SWEEPS = 40;

/**
 * Puts parts on floors, each above all that it imports, so that arrows lead down and few of them cross. The
 * same parts and arrows always give the same layout.
 *
 * @param lift whether parts that import nothing stand just below those that import them, and not on the
 * lowest floor.
 */
export function layOut(parts: readonly Part[], arrows: readonly Arrow[], lift: boolean): Layout {
  const { down, up } = untangle(arrows);
  const floors = floorsOf(
    parts.map(({ id }) => id),
    down,
  );
  if (lift) liftSinks(parts, down, floors);
  const rows = Array.from({ length: Math.max(...floors.values()) + 1 }, (): Cell[] => []);
  const cells = new Map<string, Cell>();
  function cellAt(floor: number, key: string, width: number, height: number): Cell {
    const known = cells.get(key);
    if (known !== undefined) return known;
    const cell = { key, width, height, x: 0 };
    cells.set(key, cell);
    rows[floor]!.push(cell);
    return cell;
  }
  for (const { id, width, height } of parts) cellAt(floors.get(id)!, id, width, height);
  const steps = new Map<string, Step>();
  const ways = [
    ...down.map((arrow) => ({ arrow, up: false })),
    ...up.map((arrow) => ({ arrow, up: true })),
  ].map(({ arrow, up }) => {
    const [top, bottom] = up ? [arrow.to, arrow.from] : [arrow.from, arrow.to];
    const way = [cells.get(top)!];
    for (let floor = floors.get(top)! - 1; floor > floors.get(bottom)!; floor--) {
      // All lines that lead to one part share a lane, except those that lead up.
      way.push(cellAt(floor, `${up ? `${top} ` : ''}${bottom}@${floor}`, LANE, 0));
    }
    way.push(cells.get(bottom)!);
    for (const [index, below] of way.slice(1).entries()) {
      const above = way[index]!;
      steps.set(`${above.key} ${below.key}`, { above, below });
    }
    return { arrow, up, way };
  });
  order(rows, [...steps.values()]);
  spread(rows, [...steps.values()]);
  return drawn(rows, floors, ways, down);
}

function liftSinks(parts: readonly Part[], down: readonly Arrow[], floors: Map<string, number>): void {
  for (const { id } of parts) {
    const importers = down.filter(({ to }) => to === id).map(({ from }) => floors.get(from)!);
    if (importers.length > 0 && !down.some(({ from }) => from === id)) {
      floors.set(id, Math.min(...importers) - 1);
    }
  }
}

/**
 * Orders each row by the positions of its neighbours, up and down several times, and keeps the order with the
 * fewest crossings.
 */
function order(rows: Cell[][], steps: readonly Step[]): void {
  let best = rows.map((row) => [...row]);
  let least = crossings(best, steps);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const upwards = sweep % 2 === 0;
    const indices = rows.map((_, index) => index);
    for (const index of upwards ? indices : indices.toReversed()) {
      const places = new Map(
        rows.flatMap((row) => row.map((cell, place) => [cell, place / row.length] as const)),
      );
      const wanted = new Map(
        rows[index]!.map((cell) => {
          const neighbours = steps.flatMap(({ above, below }) => {
            if (upwards) return above === cell ? [places.get(below)!] : [];
            return below === cell ? [places.get(above)!] : [];
          });
          return [cell, neighbours.length === 0 ? places.get(cell)! : mean(neighbours)] as const;
        }),
      );
      rows[index] = rows[index]!.toSorted((one, other) => wanted.get(one)! - wanted.get(other)!);
    }
    const now = crossings(rows, steps);
    if (now < least) {
      least = now;
      best = rows.map((row) => [...row]);
    }
  }
  for (const [index, row] of best.entries()) rows[index] = row;
}

function crossings(rows: readonly (readonly Cell[])[], steps: readonly Step[]): number {
  const places = new Map(
    rows.flatMap((row, floor) => row.map((cell, place) => [cell, { floor, place }] as const)),
  );
  let count = 0;
  for (const [index, one] of steps.entries()) {
    const a = places.get(one.above)!;
    const b = places.get(one.below)!;
    for (const other of steps.slice(index + 1)) {
      const c = places.get(other.above)!;
      const d = places.get(other.below)!;
      if (a.floor === c.floor && (a.place - c.place) * (b.place - d.place) < 0) count++;
    }
  }
  return count;
}

/** Moves each cell towards its neighbours, and keeps the order of each row and the gaps in it. */
function spread(rows: readonly (readonly Cell[])[], steps: readonly Step[]): void {
  for (const row of rows)
    place(
      row,
      row.map(() => 0),
    );
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    for (const row of sweep % 2 === 0 ? rows : rows.toReversed()) {
      place(
        row,
        row.map((cell) => {
          const neighbours = steps.flatMap(({ above, below }) => {
            if (above === cell) return [below.x];
            return below === cell ? [above.x] : [];
          });
          return neighbours.length === 0 ? cell.x : mean(neighbours);
        }),
      );
    }
  }
}

function place(row: readonly Cell[], wanted: readonly number[]): void {
  const xs = apart(
    wanted,
    row.map(({ width }) => width),
    GAP,
  );
  for (const [index, cell] of row.entries()) cell.x = xs[index]!;
}

/**
 * @returns the centres that are nearest to the wanted ones, in the same order, and apart by the widths and a gap: those that
 *   would overlap are shifted together.
 */
function apart(wanted: readonly number[], widths: readonly number[], gap: number): number[] {
  const offsets: number[] = [];
  for (const [index, width] of widths.entries()) {
    offsets.push(index === 0 ? 0 : offsets[index - 1]! + (widths[index - 1]! + width) / 2 + gap);
  }
  const pools: { sum: number; count: number }[] = [];
  for (const [index, x] of wanted.entries()) {
    let pool = { sum: x - offsets[index]!, count: 1 };
    for (
      let last = pools.at(-1);
      last !== undefined && last.sum / last.count >= pool.sum / pool.count;
      last = pools.at(-1)
    ) {
      pools.pop();
      pool = { sum: last.sum + pool.sum, count: last.count + pool.count };
    }
    pools.push(pool);
  }
  const shifts = pools.flatMap(({ sum, count }) => Array.from({ length: count }, () => sum / count));
  return shifts.map((shift, index) => shift + offsets[index]!);
}

function drawn(
  rows: readonly (readonly Cell[])[],
  floors: ReadonlyMap<string, number>,
  ways: readonly { arrow: Arrow; up: boolean; way: readonly Cell[] }[],
  down: readonly Arrow[],
): Layout {
  const left = Math.min(...rows.flat().map(({ x, width }) => x - width / 2));
  const right = Math.max(...rows.flat().map(({ x, width }) => x + width / 2));
  const tops: number[] = [];
  let height = 0;
  for (const [floor, row] of [...rows.entries()].toReversed()) {
    tops[floor] = height;
    height += Math.max(...row.map((cell) => cell.height)) + (floor === 0 ? 0 : BETWEEN_FLOORS);
  }
  const places = new Map<string, Place>();
  const spans = new Map<Cell, { top: number; bottom: number }>();
  for (const [floor, row] of rows.entries()) {
    const tallest = Math.max(...row.map((cell) => cell.height));
    for (const cell of row) {
      const top = tops[floor]!;
      spans.set(cell, { top, bottom: top + (cell.height === 0 ? tallest : cell.height) });
      if (floors.has(cell.key)) {
        const { width } = cell;
        places.set(cell.key, { x: cell.x - width / 2 - left, y: top, width, height: cell.height, floor });
      }
    }
  }
  const ends = new Ends(ways.map(({ way }) => way));
  const lines = ways.map(({ arrow, up, way }) => {
    const points = way.flatMap((cell, index) => {
      const { top, bottom } = spans.get(cell)!;
      const entry = index === 0 ? [] : [{ x: ends.at(cell, way[index - 1]!) - left, y: top }];
      const exit = index === way.length - 1 ? [] : [{ x: ends.at(cell, way[index + 1]!) - left, y: bottom }];
      return [...entry, ...exit];
    });
    return {
      ...arrow,
      up,
      implied: !up && isImplied(arrow, down),
      points: up ? points.toReversed() : points,
    };
  });
  return { width: right - left, height, places, lines };
}

/** Where lines leave a box and reach it: below or above the next place on their way, and apart. */
class Ends {
  readonly #ends = new Map<Cell, Map<Cell, number>>();

  constructor(ways: readonly (readonly Cell[])[]) {
    const neighbours = { above: new Map<Cell, Set<Cell>>(), below: new Map<Cell, Set<Cell>>() };
    for (const way of ways) {
      for (const [index, cell] of way.entries()) {
        if (index > 0) addTo(neighbours.above, cell, way[index - 1]!);
        if (index < way.length - 1) addTo(neighbours.below, cell, way[index + 1]!);
      }
    }
    for (const side of [neighbours.above, neighbours.below]) {
      for (const [cell, others] of side) this.#spread(cell, [...others]);
    }
  }

  at(cell: Cell, neighbour: Cell): number {
    return this.#ends.get(cell)!.get(neighbour)!;
  }

  #spread(cell: Cell, others: readonly Cell[]): void {
    const room = Math.max(0, cell.width / 2 - LANE);
    const sorted = others.toSorted((one, other) => one.x - other.x);
    const gap = Math.min(LANE, (2 * room) / Math.max(1, sorted.length - 1));
    const wanted = apart(
      sorted.map(({ x }) => Math.min(cell.x + room, Math.max(cell.x - room, x))),
      sorted.map(() => 0),
      gap,
    );
    const ends = this.#ends.get(cell) ?? new Map<Cell, number>();
    this.#ends.set(cell, ends);
    for (const [index, other] of sorted.entries()) {
      const first = cell.x - room + index * gap;
      const last = cell.x + room - (sorted.length - 1 - index) * gap;
      ends.set(other, Math.min(last, Math.max(first, wanted[index]!)));
    }
  }
}

function addTo(sets: Map<Cell, Set<Cell>>, cell: Cell, other: Cell): void {
  const set = sets.get(cell) ?? new Set();
  sets.set(cell, set.add(other));
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

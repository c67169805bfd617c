import type { DatabaseInspection, LockWait, PreparedTransaction } from '../../coordinator/index.js';

/** The view of one participant. */
export interface Shown {
  readonly participant: string;
  readonly inspection: DatabaseInspection;
}

/** The views of several participants of one place. */
export interface MergedPlace {
  readonly title: string;
  readonly participants: readonly string[];
  /** The oldest first, as far as their ages are known. */
  readonly prepared: readonly PreparedTransaction[];
  readonly preparedTotal: number;
  readonly waits: readonly LockWait[];
  readonly waitsTotal: number;
  readonly notes: readonly string[];
}

/** Participants that share a database have seen the same things in it: shows each of them once. */
export function mergePlaces(shown: readonly Shown[]): MergedPlace[] {
  const places = Map.groupBy(shown, ({ inspection }) => inspection.place);
  return [...places.values()].map(mergeOne);
}

function mergeOne(shown: readonly Shown[]): MergedPlace {
  const prepared = new Map<string, PreparedTransaction>();
  const waits = new Map<number, LockWait>();
  for (const { participant, inspection } of shown) {
    for (const one of inspection.prepared) {
      // Its own participant may know more of it than the others.
      if (!prepared.has(one.id) || one.branch?.participant === participant) prepared.set(one.id, one);
    }
    for (const wait of inspection.waits) {
      const before = waits.get(wait.session.id);
      if (before === undefined || named(wait) > named(before)) waits.set(wait.session.id, wait);
    }
  }
  return {
    title: shown[0]!.inspection.title,
    participants: shown.map(({ participant }) => participant),
    prepared: [...prepared.values()].toSorted(
      (one, other) => (other.ageMs ?? Infinity) - (one.ageMs ?? Infinity) || 0,
    ),
    preparedTotal: Math.max(prepared.size, ...shown.map(({ inspection }) => inspection.preparedTotal)),
    waits: [...waits.values()].toSorted((one, other) => (other.waitMs ?? 0) - (one.waitMs ?? 0)),
    waitsTotal: Math.max(waits.size, ...shown.map(({ inspection }) => inspection.waitsTotal)),
    notes: [...new Set(shown.flatMap(({ inspection }) => inspection.notes))],
  };
}

/** How many of the prepared transactions that it waits for are named. */
function named({ blockedBy }: LockWait): number {
  return blockedBy.filter(({ prepared }) => prepared !== null).length;
}

import type { HeuristicError } from '../participant/participant.js';

/** What a heuristic report means when the participant was to decide by itself. */
export const ONE_PHASE_ANSWERS = {
  commit: 'committed',
  rollback: 'aborted',
  mixed: 'mixed',
  hazard: 'hazard',
} as const;

const HEURISTIC_KINDS: ReadonlySet<unknown> = new Set(['commit', 'rollback', 'mixed', 'hazard']);

/** A heuristic report is known by its code, so that one thrown by a second copy of this package counts too. */
export function isHeuristic(error: unknown): error is HeuristicError {
  if (typeof error !== 'object' || error === null) return false;
  try {
    const { code, kind } = error as Partial<HeuristicError>;
    return code === 'DTC_HEURISTIC' && HEURISTIC_KINDS.has(kind);
  } catch {
    // What cannot be read is no report.
    return false;
  }
}

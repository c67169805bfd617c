/** What a heuristic report means when the participant was to decide by itself. */
export const ONE_PHASE_ANSWERS = {
  commit: 'committed',
  rollback: 'aborted',
  mixed: 'mixed',
  hazard: 'hazard',
} as const;

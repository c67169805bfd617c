/** The modes of locks on tables, the weakest first. */
const MODES = [
  'AccessShareLock',
  'RowShareLock',
  'RowExclusiveLock',
  'ShareUpdateExclusiveLock',
  'ShareLock',
  'ShareRowExclusiveLock',
  'ExclusiveLock',
  'AccessExclusiveLock',
];

/**
 * For each mode, in this order, those with which it conflicts. Source: PostgreSQL documentation, "Conflicting
 * Lock Modes". Locks on anything but tables have the same names and conflicts.
 */
const CONFLICTS = [
  '.......#',
  '......##',
  '....####',
  '...#####',
  '..##.###',
  '..######',
  '.#######',
  '########',
];

/**
 * Whether a session that wants one mode has to wait for the holder of the other. A mode that is not known
 * conflicts.
 */
export function conflict(wanted: string, held: string): boolean {
  const [row, column] = [MODES.indexOf(wanted), MODES.indexOf(held)];
  return row === -1 || column === -1 || CONFLICTS[row]![column] === '#';
}

import type { OwnedSummary } from '../api/views.js';
import { formatCount, plural } from './numbers.js';

/** @returns the listed groups in one sentence. */
export function groupsWords(groups: readonly OwnedSummary[]): string {
  const known = groups.flatMap(({ group }) => group ?? []);
  const members = known.reduce((sum, { size }) => sum + size, 0);
  const reruns = known.reduce((sum, { runs }) => sum + Math.max(0, runs - 1), 0);
  return `${plural(groups.length, 'group')} with ${plural(members, 'member')}; their work has run again ${reruns === 1 ? 'once' : `${formatCount(reruns)} times`}.`;
}

import type { UnansweredMember } from '../api/views.js';
import { nameOfOwner } from '../words/owners.js';
import { Words } from './words.js';

/** Whose transactions may be missing in a list. Nothing where all members have answered. */
export function Missing({ unanswered }: { readonly unanswered: readonly UnansweredMember[] }) {
  if (unanswered.length === 0) return null;
  const members = unanswered.map((member) => `${nameOfOwner(member)} (${member.problem})`);
  return (
    <p class="warning" role="status">
      <Words>{`Transactions may be missing, those of ${members.join('; ')}.`}</Words>
    </p>
  );
}

import { useState } from 'preact/hooks';
import { describeProblem } from '../api/problem.js';
import type { OwnedAlarm, PageOfAll } from '../api/views.js';
import { Problem } from '../components/problem.js';
import { useSession } from '../session.js';
import { nameOfOwner } from '../words/owners.js';
import { type GroupKind, MAX_TARGETS, groupActionOf, groupKindsOf, leftOutOf } from './group-actions.js';
import { useAskForAction } from './use-actions.js';

const LABELS: Readonly<Record<GroupKind, string>> = {
  retry: 'Retry all',
  resolve: 'Resolve all by hand',
  forget: 'Forget all reports',
};

/**
 * The actions for all transactions of an alarm. Only operators see them. What they are done to is looked up
 * when they are pressed.
 */
export function GroupButtons({ alarm }: { readonly alarm: OwnedAlarm }) {
  const ask = useAskForAction();
  const { client } = useSession();
  const [problem, setProblem] = useState<string | null>(null);
  const [isLooking, setLooking] = useState(false);
  const kinds = groupKindsOf(alarm);
  if (ask === null || kinds.length === 0) return null;

  async function begin(kind: GroupKind): Promise<void> {
    setLooking(true);
    setProblem(null);
    try {
      const query = new URLSearchParams({ alarm: alarm.id, order: 'oldest', limit: String(MAX_TARGETS) });
      const page = await client.get<PageOfAll>(`transactions?${query.toString()}`);
      const missing = page.unanswered.map(nameOfOwner);
      const action = groupActionOf(kind, alarm, page.transactions, page.nextCursor !== null, missing);
      if (action === undefined)
        setProblem(`None of them allows this now. ${leftOutOf(page.transactions)}`.trimEnd());
      else ask!(action, () => undefined);
    } catch (error) {
      setProblem(describeProblem(error));
    } finally {
      setLooking(false);
    }
  }

  return (
    <div class="group-buttons">
      {kinds.map((kind) => (
        <button
          key={kind}
          type="button"
          class={kind === 'retry' ? 'button' : 'button button-final'}
          aria-haspopup="dialog"
          aria-label={`${LABELS[kind]}: ${alarm.subject ?? ''}`}
          disabled={isLooking}
          onClick={() => void begin(kind)}
        >
          {LABELS[kind]}
        </button>
      ))}
      <Problem text={problem} />
    </div>
  );
}

import { ActionButton } from '../../actions/action-button.js';
import { actionOfCoordinator } from '../../actions/service-actions.js';
import type { CoordinatorCondition, CoordinatorView } from '../../api/views.js';
import { Mark } from '../../components/marks.js';
import { formatAge } from '../../words/durations.js';

interface Props {
  readonly coordinator: CoordinatorView;
  readonly nowMs: number;
}

/** The condition of the coordinator, and the button that drains it. */
export function ConditionLine({ coordinator, nowMs }: Props) {
  const { condition, durable, epoch, version, startedAt } = coordinator;
  return (
    <div class="condition">
      <p class="marks">
        <ConditionMark condition={condition} />
        {condition.recovering && <Mark tone="warn">recovering</Mark>}
        {condition.restartNeeded && <Mark tone="bad">restart needed</Mark>}
        {!durable && <Mark tone="neutral">decisions in memory only</Mark>}
        <span class="quiet">
          epoch {epoch}, version {version}, up for {formatAge(nowMs - Date.parse(startedAt))}
        </span>
      </p>
      <ActionButton action={actionOfCoordinator(coordinator)} onDone={() => undefined} />
      {condition.logProblem !== null && <p class="problem">Decision log: {condition.logProblem}</p>}
    </div>
  );
}

function ConditionMark({ condition }: { readonly condition: CoordinatorCondition }) {
  if (condition.draining) return <Mark tone="warn">draining: admits no new transactions</Mark>;
  return condition.accepting ? <Mark tone="good">accepting</Mark> : <Mark tone="bad">not accepting</Mark>;
}

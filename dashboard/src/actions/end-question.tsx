import { HEURISTIC_KINDS, type HeuristicKind } from '../api/views.js';
import { ENDS, disagreement } from './action.js';

interface Props {
  readonly decision: 'commit' | 'abort' | null;
  readonly chosen: HeuristicKind | null;
  readonly onChoose: (end: HeuristicKind) => void;
}

/** Asks how a branch has ended. No end is preselected: an operator who resolves a branch must have looked. */
export function EndQuestion({ decision, chosen, onChoose }: Props) {
  const warning = chosen === null ? undefined : disagreement(chosen, decision);
  return (
    <fieldset class="ends">
      <legend>How has this branch ended?</legend>
      {HEURISTIC_KINDS.map((end) => (
        <label key={end} class="end">
          <input
            type="radio"
            name="end"
            value={end}
            required
            checked={chosen === end}
            onChange={() => onChoose(end)}
          />
          <span>
            <strong>{ENDS[end].name}</strong> {ENDS[end].meaning}
          </span>
        </label>
      ))}
      <div aria-live="polite">{warning !== undefined && <p class="warning">{warning}</p>}</div>
    </fieldset>
  );
}

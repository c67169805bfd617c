import { HEURISTIC_KINDS, type HeuristicKind } from '../api/views.js';
import { type Decision, ENDS, disagreement } from './action.js';

interface Props {
  /** Of the transactions, each once. */
  readonly decisions: readonly Decision[];
  readonly chosen: HeuristicKind | null;
  readonly onChoose: (end: HeuristicKind) => void;
}

/** Asks how a branch has ended. No end is preselected: an operator who resolves a branch must have looked. */
export function EndQuestion({ decisions, chosen, onChoose }: Props) {
  const warnings =
    chosen === null ? [] : decisions.flatMap((decision) => disagreement(chosen, decision) ?? []);
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
      <div aria-live="polite">
        {warnings.map((warning) => (
          <p key={warning} class="warning">
            {decisions.length > 1 ? `For a part of them: ${warning}` : warning}
          </p>
        ))}
      </div>
    </fieldset>
  );
}

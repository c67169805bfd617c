import { useId, useState } from 'preact/hooks';
import { isPossibleToken } from '../api/token.js';

interface Props {
  readonly problem: string | null;
  /** Whether reading is possible without a token. */
  readonly canStay: boolean;
  readonly onToken: (token: string | null) => void;
}

/** Asks for a token. */
export function TokenForm({ problem, canStay, onToken }: Props) {
  const id = useId();
  const [token, setToken] = useState('');
  const [ownProblem, setOwnProblem] = useState<string | null>(null);
  const shown = ownProblem ?? problem;

  function submit(event: Event): void {
    event.preventDefault();
    const given = token.trim();
    const isPossible = isPossibleToken(given);
    setOwnProblem(isPossible ? null : 'A token consists of plain characters without spaces.');
    if (isPossible) onToken(given);
  }

  return (
    <form class="token-form" onSubmit={submit}>
      <p>
        This coordinator shows itself to those with a token. It is kept until this tab is closed, and sent to
        this coordinator only.
      </p>
      <label class="field">
        Access token
        <input
          type="password"
          required
          autocomplete="off"
          spellcheck={false}
          aria-describedby={shown === null ? undefined : `${id}problem`}
          aria-invalid={shown !== null}
          value={token}
          ref={focusOnce}
          onInput={(event) => setToken(event.currentTarget.value)}
        />
      </label>
      {shown !== null && (
        <p id={`${id}problem`} class="problem" role="alert">
          {shown}
        </p>
      )}
      <div class="dialog-buttons">
        {canStay && (
          <button type="button" class="button" onClick={() => onToken(null)}>
            Go on without
          </button>
        )}
        <button type="submit" class="button button-primary">
          Go on
        </button>
      </div>
    </form>
  );
}

function focusOnce(input: HTMLInputElement | null): void {
  input?.focus();
}

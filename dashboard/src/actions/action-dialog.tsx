import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { Client } from '../api/client.js';
import type { HeuristicKind } from '../api/views.js';
import { type Action, MAX_REASON_CHARS } from './action.js';
import { EndQuestion } from './end-question.js';
import { useSubmission } from './use-submission.js';

interface Props {
  readonly client: Client;
  readonly action: Action;
  readonly onDone: () => void;
  readonly onClose: () => void;
}

/** Describes an action, asks for the reason, and carries it out once. */
export function ActionDialog({ client, action, onDone, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState('');
  const [end, setEnd] = useState<HeuristicKind | null>(null);
  const { isBusy, problem, send } = useSubmission(client, action.path, () => {
    dialog.current?.close();
    onDone();
  });
  const id = useId();
  const { asksEndAgainst, member } = action;
  const isComplete = reason.trim() !== '' && (asksEndAgainst === undefined || end !== null);

  useEffect(() => dialog.current?.showModal(), []);

  function submit(event: Event): void {
    event.preventDefault();
    if (!isComplete) return;
    void send({
      reason: reason.trim(),
      ...(end !== null && { as: end }),
      ...(member !== undefined && { member }),
    });
  }

  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby={`${id}title`}
      aria-describedby={`${id}consequences`}
      onClose={onClose}
      onCancel={(event) => isBusy && event.preventDefault()}
    >
      <form onSubmit={submit}>
        <h2 id={`${id}title`}>{action.title}</h2>
        <p class="mono target">{action.target}</p>
        <Consequences id={`${id}consequences`} action={action} />
        {asksEndAgainst !== undefined && (
          <EndQuestion decision={asksEndAgainst} chosen={end} onChoose={setEnd} />
        )}
        <label class="field">
          Reason, for the audit trail
          <textarea
            rows={2}
            required
            maxLength={MAX_REASON_CHARS}
            value={reason}
            onInput={(event) => setReason(event.currentTarget.value)}
          />
        </label>
        {problem !== null && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <div class="dialog-buttons">
          <button type="button" class="button" disabled={isBusy} onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button
            type="submit"
            class={action.isFinal ? 'button button-danger' : 'button button-primary'}
            disabled={!isComplete || isBusy}
          >
            {isBusy ? 'Sending…' : action.confirm}
          </button>
        </div>
      </form>
    </dialog>
  );
}

function Consequences({ id, action }: { readonly id: string; readonly action: Action }) {
  return (
    <div id={id}>
      {action.consequences.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
      {action.isFinal && <p class="final">This cannot be taken back.</p>}
    </div>
  );
}

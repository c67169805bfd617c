import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { Client } from '../api/client.js';
import type { HeuristicKind } from '../api/views.js';
import { Problem } from '../components/problem.js';
import { type Action, MAX_REASON_CHARS } from './action.js';
import { EndQuestion } from './end-question.js';
import { resultOf } from './results.js';
import { useSubmission } from './use-submission.js';

interface Props {
  readonly client: Client;
  readonly action: Action;
  /** Called once it is done, with the message about it. */
  readonly onDone: (message: string) => void;
  readonly onClose: () => void;
}

/** Describes an action, asks for the reason, and carries it out once. */
export function ActionDialog({ client, action, onDone, onClose }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [reason, setReason] = useState('');
  const [end, setEnd] = useState<HeuristicKind | null>(null);
  const [result, setResult] = useState<readonly string[]>([]);
  const { isBusy, problem, send } = useSubmission(client, action.path, (answer) => {
    const { message, rest } = resultOf(action, answer);
    onDone(message);
    if (rest.length === 0) dialog.current?.close();
    else setResult([message, ...rest]);
  });
  const id = useId();
  const { asksEndAgainst, member, targets, alarm, ids, kind } = action;
  const isComplete = reason.trim() !== '' && (asksEndAgainst === undefined || end !== null);

  useEffect(() => dialog.current?.showModal(), []);

  function submit(event: Event): void {
    event.preventDefault();
    if (!isComplete || result.length > 0) return;
    void send({
      reason: reason.trim(),
      ...(end !== null && { as: end }),
      ...(member !== undefined && { member }),
      ...(targets !== undefined && { action: kind, targets }),
      ...(alarm !== undefined && { alarm }),
      ...(ids !== undefined && { ids }),
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
          <EndQuestion decisions={asksEndAgainst} chosen={end} onChoose={setEnd} />
        )}
        <ReasonField value={reason} onChange={setReason} />
        <Problem text={problem} />
        <Result sentences={result} />
        <div class="dialog-buttons">
          <button type="button" class="button" disabled={isBusy} onClick={() => dialog.current?.close()}>
            {result.length > 0 ? 'Close' : 'Cancel'}
          </button>
          <button
            type="submit"
            class={action.isFinal ? 'button button-danger' : 'button button-primary'}
            disabled={!isComplete || isBusy || result.length > 0}
          >
            {isBusy ? 'Sending…' : action.confirm}
          </button>
        </div>
      </form>
    </dialog>
  );
}

function ReasonField({
  value,
  onChange,
}: {
  readonly value: string;
  readonly onChange: (value: string) => void;
}) {
  return (
    <label class="field">
      Reason, for the audit trail
      <textarea
        rows={2}
        required
        maxLength={MAX_REASON_CHARS}
        value={value}
        onInput={(event) => onChange(event.currentTarget.value)}
      />
    </label>
  );
}

/** What became of an action on several targets, when it was not done to all of them. */
function Result({ sentences }: { readonly sentences: readonly string[] }) {
  if (sentences.length === 0) return null;
  return (
    <div class="problem" role="alert">
      {sentences.map((sentence) => (
        <p key={sentence}>{sentence}</p>
      ))}
    </div>
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

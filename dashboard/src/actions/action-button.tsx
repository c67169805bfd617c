import { useLayoutEffect, useRef } from 'preact/hooks';
import { focusHeading } from '../focus.js';
import type { Action } from './action.js';
import { useAskForAction } from './use-actions.js';

interface Props {
  readonly action: Action;
  /** Called once the action is done. */
  readonly onDone: () => void;
}

/** A button that opens the dialog of an action. Only operators see it. */
export function ActionButton({ action, onDone }: Props) {
  const ask = useAskForAction();
  const button = useRef<HTMLButtonElement>(null);

  useLayoutEffect(
    () => () => {
      // The button disappears when its action is done, and must not take the focus with it.
      if (button.current !== null && document.activeElement === button.current) focusHeading();
    },
    [],
  );

  if (ask === null) return null;
  return (
    <button
      ref={button}
      type="button"
      class={action.isFinal ? 'button button-final' : 'button'}
      aria-haspopup="dialog"
      aria-label={`${action.label}: ${action.target}`}
      onClick={() => ask(action, onDone)}
    >
      {action.label}
    </button>
  );
}

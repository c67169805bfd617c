import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Action } from './action.js';

/** Opens the dialog of an action. */
export type AskForAction = (action: Action, onDone: () => void) => void;

export const ActionsContext = createContext<AskForAction | null>(null);

/** @returns null for readers: then no action is shown. */
export function useAskForAction(): AskForAction | null {
  return useContext(ActionsContext);
}

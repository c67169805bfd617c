import { createContext } from 'preact';
import { useContext } from 'preact/hooks';
import type { Action } from './action.js';

/** Puts the confirmation of an action before the operator. */
export type AskForAction = (action: Action, onDone: () => void) => void;

export const ActionsContext = createContext<AskForAction | null>(null);

/** @returns null for whoever may only look: then no action is shown at all. */
export function useAskForAction(): AskForAction | null {
  return useContext(ActionsContext);
}

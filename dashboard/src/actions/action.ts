import type { GroupTarget, HeuristicKind, OperatorAction } from '../api/views.js';

/** The decision of a transaction; null while it is not known. */
export type Decision = 'commit' | 'abort' | null;

/** An action of an operator, as the dialog shows it. */
export interface Action {
  /** The name of the action in the operators' interface. */
  readonly kind: OperatorAction;
  /** The text of the button that opens the dialog. */
  readonly label: string;
  /** The question in the dialog. */
  readonly title: string;
  /** The target: an id or a name. */
  readonly target: string;
  /** What exactly will happen, and what will not: a sentence or two each. */
  readonly consequences: readonly string[];
  /** The text of the button that carries it out. */
  readonly confirm: string;
  /** The message after it is done. */
  readonly done: string;
  /** The route, relative to the interface. */
  readonly path: string;
  /** The epoch of the only member that acts. Without it, the member that is asked acts. */
  readonly member?: number;
  /** What it is done to, when that is several at once: then the answer tells what became of each. */
  readonly targets?: readonly GroupTarget[];
  /** The id of the alarm that the targets are of: one that it does not count by then is refused. */
  readonly alarm?: string;
  /** The messages that it is done to: then the answer tells how many were left. */
  readonly ids?: readonly string[];
  /** Set when the action cannot be undone. */
  readonly isFinal: boolean;
  /** Set when the operator must state how branches have ended: the decisions of their transactions, each once. */
  readonly asksEndAgainst?: readonly Decision[];
}

/** The body of the request. */
export interface ActionBody {
  readonly reason: string;
  readonly as?: HeuristicKind;
  readonly member?: number;
  /** Of an action on several targets. */
  readonly action?: OperatorAction;
  readonly alarm?: string;
  readonly targets?: readonly GroupTarget[];
  readonly ids?: readonly string[];
}

export const MAX_REASON_CHARS = 300;

/** The possible ends of a branch. */
export const ENDS: Readonly<Record<HeuristicKind, { readonly name: string; readonly meaning: string }>> = {
  commit: { name: 'Committed', meaning: 'All its changes are made.' },
  rollback: { name: 'Rolled back', meaning: 'None of its changes is made, and it holds nothing.' },
  mixed: { name: 'Mixed', meaning: 'Some of its changes are made, others are not.' },
  hazard: { name: 'Not known', meaning: 'It may have ended either way.' },
};

/** @returns a warning when an end contradicts the decision; undefined when it does not. */
export function disagreement(end: HeuristicKind, decision: Decision): string | undefined {
  if (decision === null) {
    if (end === 'commit' || end === 'rollback') return undefined;
    return 'The transaction then counts as committed, with a heuristic report, until the data are repaired.';
  }
  if (end === (decision === 'commit' ? 'commit' : 'rollback')) return undefined;
  const [decided, others] = decision === 'commit' ? ['Commit', 'commit'] : ['Abort', 'roll back'];
  return (
    `${decided} was decided, and the other participants ${others}. This end contradicts the decision: it is recorded as a heuristic ` +
    'report, and the data of the participants differ until they are repaired. The decision does not change.'
  );
}

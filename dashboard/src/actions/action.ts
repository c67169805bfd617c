import type { HeuristicKind, OperatorAction } from '../api/views.js';

/** Something that an operator can do, as it is asked for before it is done. */
export interface Action {
  /** As the operators' interface names it. */
  readonly kind: OperatorAction;
  /** On the button that begins it, beside what it is about. */
  readonly label: string;
  /** The question that the confirmation puts. */
  readonly title: string;
  /** What it is about: an id or a name. */
  readonly target: string;
  /** What exactly will happen, and what will not: a sentence or two each. */
  readonly consequences: readonly string[];
  /** On the button that does it. */
  readonly confirm: string;
  /** Said once it is done. */
  readonly done: string;
  /** Where it is sent, relative to the interface. */
  readonly path: string;
  /** Set when it cannot be taken back. */
  readonly isFinal: boolean;
  /** Set when the operator must say how a branch has ended; it holds the decision, null when that is not known. */
  readonly asksEndAgainst?: 'commit' | 'abort' | null;
}

/** What is sent with an action. */
export interface ActionBody {
  readonly reason: string;
  readonly as?: HeuristicKind;
}

export const MAX_REASON_CHARS = 300;

/** How a branch can have ended, as an operator tells it. */
export const ENDS: Readonly<Record<HeuristicKind, { readonly name: string; readonly meaning: string }>> = {
  commit: { name: 'Committed', meaning: 'All its changes are made.' },
  rollback: { name: 'Rolled back', meaning: 'None of its changes is made, and it holds nothing.' },
  mixed: { name: 'Mixed', meaning: 'Some of its changes are made, others are not.' },
  hazard: { name: 'Not known', meaning: 'It may have ended either way.' },
};

/** @returns a warning when an end is not what was decided; undefined when it is. */
export function disagreement(end: HeuristicKind, decision: 'commit' | 'abort' | null): string | undefined {
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

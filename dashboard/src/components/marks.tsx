import type { BranchView, TransactionSummary, TransactionState } from '../api/views.js';

type Tone = 'good' | 'neutral' | 'busy' | 'warn' | 'bad';

const TONE_OF_STATE: Readonly<Record<TransactionState, Tone>> = {
  ACTIVE: 'busy',
  PREPARING: 'busy',
  READY: 'busy',
  COMMITTING: 'busy',
  ABORTING: 'busy',
  COMMITTED: 'good',
  ABORTED: 'neutral',
};

/** A word with a colour. The colour adds no information. */
export function Mark({ tone, children }: { readonly tone: Tone; readonly children: string }) {
  return <span class={`mark mark-${tone}`}>{children}</span>;
}

/** The state of a transaction, and its problem. */
export function TransactionMarks({ transaction }: { readonly transaction: TransactionSummary }) {
  const { state, stalled, inDoubt, heuristic } = transaction;
  return (
    <span class="marks">
      <Mark tone={TONE_OF_STATE[state]}>{state.toLowerCase()}</Mark>
      {inDoubt && <Mark tone="warn">in doubt</Mark>}
      {stalled && <Mark tone="warn">stalled</Mark>}
      {heuristic !== null && <Mark tone="bad">{`heuristic ${heuristic}`}</Mark>}
    </span>
  );
}

/** The state of a branch, and its problem. */
export function BranchMarks({ branch }: { readonly branch: BranchView }) {
  const { state, stalled, held, heuristic } = branch;
  return (
    <span class="marks">
      <Mark tone={toneOfBranch(branch)}>{heuristic === null ? state : `heuristic ${heuristic.kind}`}</Mark>
      {stalled && <Mark tone="warn">stalled</Mark>}
      {held && <Mark tone="warn">held</Mark>}
    </span>
  );
}

function toneOfBranch({ state }: BranchView): Tone {
  if (state === 'heuristic') return 'bad';
  if (state === 'committed') return 'good';
  return state === 'rolled-back' || state === 'refused' || state === 'read-only' ? 'neutral' : 'busy';
}

import { ActionButton } from '../../actions/action-button.js';
import { actionsOfBranch } from '../../actions/transaction-actions.js';
import { useAskForAction } from '../../actions/use-actions.js';
import type { BranchView, TransactionView } from '../../api/views.js';
import { BranchMarks } from '../../components/marks.js';
import { Moment } from '../../components/moment.js';
import { type Column, Table } from '../../components/table.js';
import { deciderOf } from '../../words/attention.js';
import { formatAge } from '../../words/durations.js';

interface Props {
  readonly transaction: TransactionView;
  readonly nowMs: number;
  readonly onDone: () => void;
}

/** The branches of a transaction, and their actions. */
export function BranchTable({ transaction, nowMs, onDone }: Props) {
  const mayAct = useAskForAction() !== null;
  const isActionPossible = transaction.branches.some(
    (branch) => actionsOfBranch(transaction, branch).length > 0,
  );
  const columns = columnsOf(transaction, nowMs);
  const actions: Column<BranchView> = {
    head: 'Actions',
    cell: (branch) => (
      <span class="buttons">
        {actionsOfBranch(transaction, branch).map((action) => (
          <ActionButton key={action.kind} action={action} onDone={onDone} />
        ))}
      </span>
    ),
  };
  return (
    <Table
      caption="Branches of this transaction"
      columns={mayAct && isActionPossible ? [...columns, actions] : columns}
      rows={transaction.branches}
      keyOf={({ branchId }) => branchId}
      empty="It has no branches yet."
    />
  );
}

function columnsOf(transaction: TransactionView, nowMs: number): Column<BranchView>[] {
  return [
    {
      head: 'Participant',
      isName: true,
      cell: ({ participant, branchId }) => (
        <>
          {participant} {branchId !== participant && <span class="mono quiet">{branchId}</span>}
        </>
      ),
    },
    { head: 'State', cell: (branch) => <BranchMarks branch={branch} /> },
    { head: 'Vote', cell: ({ vote }) => vote ?? '–' },
    { head: 'Attempts', isNumber: true, cell: ({ attempts }) => attempts },
    {
      head: 'Last error',
      cell: ({ lastError, heuristic }) => heuristic?.reason ?? lastError ?? '–',
    },
    {
      head: 'Next attempt',
      cell: (branch) => <NextAttempt transaction={transaction} branch={branch} nowMs={nowMs} />,
    },
  ];
}

interface NextAttemptProps {
  readonly transaction: TransactionView;
  readonly branch: BranchView;
  readonly nowMs: number;
}

function NextAttempt({ transaction, branch, nowMs }: NextAttemptProps) {
  const { state, nextAttemptAt, held, stalled } = branch;
  const owes = state === 'committing' || state === 'rolling-back' || branch === deciderOf(transaction);
  if (!owes) return <>–</>;
  if (held) return <>when resumed</>;
  if (nextAttemptAt === null) return <>{stalled ? 'by the recovery job' : 'running'}</>;
  return (
    <>
      <Moment iso={nextAttemptAt} />, in {formatAge(Date.parse(nextAttemptAt) - nowMs)}
    </>
  );
}

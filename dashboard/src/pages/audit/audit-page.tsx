import type { AuditEntryView } from '../../api/views.js';
import { Moment } from '../../components/moment.js';
import { PageTitle } from '../../components/page-title.js';
import { Problem } from '../../components/problem.js';
import { type Column, Table } from '../../components/table.js';
import { transactionHref } from '../../route.js';
import { useAudit } from './use-audit.js';

/** The orders of operators, with their reasons: the latest first. */
export function AuditPage() {
  const { entries, isComplete, isLoading, problem, loadMore, reload } = useAudit();
  return (
    <>
      <PageTitle title="Audit trail">
        <button type="button" class="button" onClick={reload} disabled={isLoading}>
          Refresh
        </button>
      </PageTitle>
      <Problem text={problem} />
      {!(isLoading && entries.length === 0) && (
        <Table
          caption="Orders of operators, the latest first"
          columns={COLUMNS}
          rows={entries}
          keyOf={({ id }) => id}
          empty="There are no orders yet."
        />
      )}
      {!isComplete && (
        <p class="more">
          <button type="button" class="button" onClick={loadMore} disabled={isLoading}>
            {isLoading ? 'Loading…' : 'Earlier entries'}
          </button>
        </p>
      )}
    </>
  );
}

const COLUMNS: readonly Column<AuditEntryView>[] = [
  { head: 'When', isName: true, cell: ({ at }) => <Moment iso={at} /> },
  { head: 'Who', cell: ({ by }) => by },
  { head: 'What', cell: ({ action, detail }) => (detail === null ? action : `${action} ${detail}`) },
  { head: 'Of', cell: (entry) => <Target entry={entry} /> },
  { head: 'Reason', cell: ({ reason }) => reason },
];

const OF_TRANSACTIONS = new Set(['abort', 'forget', 'retry', 'resolve']);

function Target({ entry: { action, target } }: { readonly entry: AuditEntryView }) {
  if (!OF_TRANSACTIONS.has(action)) return <span class="mono">{target}</span>;
  const [transactionId = target] = target.split('/', 1);
  return (
    <a class="mono" href={transactionHref(transactionId)}>
      {target}
    </a>
  );
}

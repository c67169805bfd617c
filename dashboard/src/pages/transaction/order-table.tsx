import type { Answer } from '../../api/use-answer.js';
import type { AuditEntryView, AuditPage } from '../../api/views.js';
import { Moment } from '../../components/moment.js';
import { Problem } from '../../components/problem.js';
import { type Column, Table } from '../../components/table.js';

/** What operators have ordered of one transaction. Nothing where there is nothing. */
export function OrderTable({ orders: { answer, problem } }: { readonly orders: Answer<AuditPage> }) {
  if (problem !== null) return <Problem text={`The orders of operators cannot be shown: ${problem}`} />;
  if (answer === null || answer.entries.length === 0) return null;
  const { entries, nextCursor } = answer;
  return (
    <section aria-labelledby="orders" class="section">
      <h2 id="orders">Orders of operators</h2>
      <Table
        caption="Orders of operators for this transaction, the latest first"
        columns={COLUMNS}
        rows={entries}
        keyOf={({ id }) => id}
      />
      {nextCursor !== null && (
        <p class="more">
          <a href="#/audit">Earlier ones are in the audit trail</a>
        </p>
      )}
    </section>
  );
}

const COLUMNS: readonly Column<AuditEntryView>[] = [
  { head: 'When', isName: true, cell: ({ at }) => <Moment iso={at} /> },
  { head: 'Who', cell: ({ by }) => by },
  { head: 'What', cell: ({ action, detail }) => (detail === null ? action : `${action} ${detail}`) },
  { head: 'Branch', cell: ({ target }) => target.split('/').slice(1).join('/') || '–' },
  { head: 'Reason', cell: ({ reason }) => reason },
];

import type { LockWait } from '../../api/views.js';
import { type Column, Table } from '../../components/table.js';
import { Words } from '../../components/words.js';
import { holderWords, sessionWords } from '../../words/databases.js';
import { formatAge } from '../../words/durations.js';

/** Who waits for whom in one database. */
export function WaitTable({ title, waits }: { readonly title: string; readonly waits: readonly LockWait[] }) {
  return (
    <Table
      caption={`Sessions that wait in ${title}, the longest wait first`}
      columns={COLUMNS}
      rows={waits}
      keyOf={({ session }) => String(session.id)}
    />
  );
}

const COLUMNS: readonly Column<LockWait>[] = [
  {
    head: 'Waits',
    isNumber: true,
    cell: ({ waitMs }) => <strong>{waitMs === null ? 'not known' : formatAge(waitMs)}</strong>,
  },
  { head: 'Who', isName: true, cell: ({ session }) => sessionWords(session) },
  { head: 'For what', cell: ({ lock }) => lock },
  {
    head: 'Held by',
    cell: ({ blockedBy }) => (
      <ul class="plain-cell">
        {blockedBy.map((holder, index) => (
          // oxlint-disable-next-line react/no-array-index-key -- two that the database does not name look the same
          <li key={index} class={holder.prepared === null ? undefined : 'mono'}>
            <Words>{holderWords(holder)}</Words>
          </li>
        ))}
      </ul>
    ),
  },
];

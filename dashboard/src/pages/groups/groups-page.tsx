import { useAnswer } from '../../api/use-answer.js';
import type { OwnedSummary, PageOfAll } from '../../api/views.js';
import { LoadedPage } from '../../components/loaded-page.js';
import { TransactionMarks } from '../../components/marks.js';
import { Missing } from '../../components/missing.js';
import { Moment } from '../../components/moment.js';
import { type Column, Table } from '../../components/table.js';
import { Words } from '../../components/words.js';
import { transactionHref, transactionsHref } from '../../route.js';
import { formatAge, formatDuration } from '../../words/durations.js';
import { groupsWords } from '../../words/groups.js';
import { formatCount } from '../../words/numbers.js';

const REFRESH_MS = 5_000;
const LATEST = 100;

/** The groups of transactions that were prepared as one: the latest first. */
export function GroupsPage() {
  const loaded = useAnswer<PageOfAll>(`transactions?groups=true&limit=${LATEST}`, REFRESH_MS);
  return (
    <LoadedPage title="Groups" loaded={loaded}>
      {(page) => <Groups page={page} />}
    </LoadedPage>
  );
}

function Groups({ page: { transactions, nextCursor, unanswered } }: { readonly page: PageOfAll }) {
  return (
    <>
      <p>
        {groupsWords(transactions)}{' '}
        <span class="quiet">
          Transactions that wait for the same participants are prepared and committed together. A group whose
          work has run again has left out members that were refused.
        </span>
      </p>
      <Missing unanswered={unanswered} />
      <Table
        caption="Groups of transactions, the latest first"
        columns={COLUMNS}
        rows={transactions}
        keyOf={({ transactionId }) => transactionId}
        empty="No group is kept here. Transactions that find their participants free run alone."
      />
      {nextCursor !== null && (
        <p class="more">
          These are the latest {formatCount(LATEST)}.{' '}
          <a href={transactionsHref({ show: 'groups' })}>All groups, in the list of transactions</a>
        </p>
      )}
    </>
  );
}

const COLUMNS: readonly Column<OwnedSummary>[] = [
  {
    head: 'Group',
    isName: true,
    cell: ({ transactionId }) => (
      <a class="mono" href={transactionHref(transactionId)}>
        <Words>{transactionId}</Words>
      </a>
    ),
  },
  { head: 'State', cell: (transaction) => <TransactionMarks transaction={transaction} /> },
  {
    head: 'Members',
    isNumber: true,
    cell: ({ group }) =>
      group === undefined ? (
        '–'
      ) : (
        <a href={transactionsHref({ group: group.id })}>{formatCount(group.size)}</a>
      ),
  },
  {
    head: 'Runs',
    isNumber: true,
    cell: ({ group }) => (group === undefined ? '–' : formatCount(group.runs)),
  },
  { head: 'Participants', cell: ({ branches }) => branches.map(({ participant }) => participant).join(', ') },
  { head: 'Began', cell: ({ startedAt }) => <Moment iso={startedAt} /> },
  {
    head: 'Took',
    isNumber: true,
    cell: ({ durationMs, ageMs }) => (durationMs === null ? formatAge(ageMs) : formatDuration(durationMs)),
  },
  { head: 'Why', cell: ({ reason }) => reason ?? '–' },
];

import { useCallback, useEffect, useRef } from 'preact/hooks';
import { Missing } from '../../components/missing.js';
import { PageTitle } from '../../components/page-title.js';
import { Problem } from '../../components/problem.js';
import { useLive } from '../../live/use-live.js';
import { transactionsHref } from '../../route.js';
import { formatCount, plural } from '../../words/numbers.js';
import { ExportButtons } from './export-buttons.js';
import { FilterForm } from './filter-form.js';
import { type Filters, addressOf, filtersIn, isFiltered, parametersOf } from './filters.js';
import { SavedFilterList } from './saved-filter-list.js';
import { SubsetNotes } from './subset-notes.js';
import { TransactionRows } from './transaction-rows.js';
import { MAX_ROWS, useTransactions } from './use-transactions.js';

/** The list does not change while the user is further down than this. */
const AT_TOP_PX = 200;
const REFRESH_MS = 2_000;

/** Every transaction in flight, and those that ended not long ago. */
export function TransactionsPage({ query }: { readonly query: URLSearchParams }) {
  const filters = filtersIn(query);
  const parameters = parametersOf(filters).toString();
  const list = useTransactions(parameters);
  useRefreshAtTop(list);
  const change = useCallback((changed: Filters) => {
    location.replace(transactionsHref(addressOf(changed)));
  }, []);
  return (
    <>
      <PageTitle title="Transactions">
        <button type="button" class="button" onClick={list.reload}>
          Refresh
        </button>
      </PageTitle>
      <FilterForm filters={filters} onChange={change} />
      <SubsetNotes filters={filters} onChange={change} />
      <div class="list-tools">
        <SavedFilterList filters={filters} />
        {isFiltered(filters) && (
          <a class="button" href="#/transactions">
            Clear all filters
          </a>
        )}
        <ExportButtons parameters={parameters} />
      </div>
      <Problem text={list.problem} />
      <Missing unanswered={list.unanswered} />
      {list.rows.length > 0 && (
        <TransactionRows rows={list.rows} isComplete={list.isComplete} onNearEnd={list.loadMore} />
      )}
      <p class="list-end quiet">{describeList(list)}</p>
    </>
  );
}

type TransactionList = ReturnType<typeof useTransactions>;

/** Keeps the first page up to date, unless the user has scrolled down. */
function useRefreshAtTop({ isFirstPage, isAsking, reload }: TransactionList): void {
  const { overview } = useLive();
  const refreshedAtMs = useRef(performance.now());
  useEffect(() => {
    const isDue = performance.now() - refreshedAtMs.current >= REFRESH_MS;
    if (overview === null || !isDue || !isFirstPage || isAsking()) return;
    if (window.scrollY > AT_TOP_PX || document.hidden) return;
    refreshedAtMs.current = performance.now();
    reload();
    // Only a new overview is a reason to load again. The other values are read as they are then.
  }, [overview]);
}

function describeList({ rows, isLoading, isFull, isComplete, isFirstPage }: TransactionList): string {
  if (isFull && !isComplete)
    return `The first ${formatCount(MAX_ROWS)} are listed. Use the filters to see others.`;
  if (!isComplete) return `${plural(rows.length, 'transaction')} listed, more as you scroll.`;
  if (rows.length > 0) {
    return `${plural(rows.length, 'transaction')} in all.${isFirstPage ? '' : ' The list does not change by itself: press Refresh for new transactions.'}`;
  }
  return isLoading ? 'Loading…' : 'No transaction matches the filters.';
}

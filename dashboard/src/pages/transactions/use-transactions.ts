import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { describeProblem } from '../../api/problem.js';
import type { PageOfAll, TransactionSummary, UnansweredMember } from '../../api/views.js';
import { useSession } from '../../session.js';

const FIRST_PAGE = 100;
const NEXT_PAGES = 500;
/** More rows than a user scrolls through, and few enough for a browser. */
export const MAX_ROWS = 20_000;

interface List {
  readonly rows: readonly TransactionSummary[];
  readonly nextCursor: string | null;
  /** The members that have not answered for one of the pages, by their epoch. */
  readonly unanswered: readonly UnansweredMember[];
  readonly isLoading: boolean;
  readonly problem: string | null;
}

const EMPTY: List = { rows: [], nextCursor: null, unanswered: [], isLoading: true, problem: null };

/**
 * Transactions page by page.
 *
 * @param parameters the filters, as the interface accepts them.
 */
export function useTransactions(parameters: string) {
  const { client } = useSession();
  const [list, setList] = useState<List>(EMPTY);
  // The drawn state lags behind the known state. The next page follows from the latter, or it would be loaded
  // twice.
  const known = useRef<List>(EMPTY);
  const asking = useRef<AbortController | null>(null);

  const put = useCallback((change: Partial<List>) => {
    known.current = { ...known.current, ...change };
    setList(known.current);
  }, []);

  const load = useCallback(
    async (cursor: string | null): Promise<void> => {
      asking.current?.abort();
      const current = new AbortController();
      asking.current = current;
      put({ isLoading: true });
      const query = new URLSearchParams(parameters);
      query.set('limit', String(cursor === null ? FIRST_PAGE : NEXT_PAGES));
      if (cursor !== null) query.set('cursor', cursor);
      try {
        const page = await client.get<PageOfAll>(`transactions?${query.toString()}`, current.signal);
        if (current.signal.aborted) return;
        const before = cursor === null ? EMPTY : known.current;
        // One that two members have may be on the pages of both.
        const listed = new Set(before.rows.map(({ transactionId }) => transactionId));
        put({
          rows: [...before.rows, ...page.transactions.filter((one) => !listed.has(one.transactionId))],
          nextCursor: page.nextCursor,
          unanswered: joined(before.unanswered, page.unanswered),
          isLoading: false,
          problem: null,
        });
      } catch (error) {
        if (!current.signal.aborted) put({ isLoading: false, problem: describeProblem(error) });
      } finally {
        if (asking.current === current) asking.current = null;
      }
    },
    [client, parameters, put],
  );

  useEffect(() => {
    put(EMPTY);
    void load(null);
    return () => asking.current?.abort();
  }, [load, put]);

  const loadMore = useCallback(() => {
    const { nextCursor, problem, rows } = known.current;
    const isPossible = nextCursor !== null && problem === null && rows.length < MAX_ROWS;
    if (isPossible && asking.current === null) void load(nextCursor);
  }, [load]);

  const { rows, nextCursor, unanswered, isLoading, problem } = list;
  return {
    rows,
    unanswered,
    isLoading,
    problem,
    isFull: rows.length >= MAX_ROWS,
    isComplete: nextCursor === null,
    /** Whether only the first page is loaded, which can be loaded again without losing the user's place. */
    isFirstPage: rows.length <= FIRST_PAGE,
    reload: useCallback(() => void load(null), [load]),
    /** Loads the next page, unless a page is being loaded or the last answer was a problem. */
    loadMore,
    isAsking: () => asking.current !== null,
  };
}

/** @returns each member once, with what was said last. */
function joined(
  before: readonly UnansweredMember[],
  more: readonly UnansweredMember[],
): readonly UnansweredMember[] {
  return [...new Map([...before, ...more].map((member) => [member.epoch, member])).values()];
}

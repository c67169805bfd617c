import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { describeProblem } from '../../api/problem.js';
import type { AuditEntryView, AuditPage } from '../../api/views.js';
import { useSession } from '../../session.js';

const PAGE_SIZE = 100;

interface Trail {
  readonly entries: readonly AuditEntryView[];
  readonly nextCursor: string | null;
  readonly isLoading: boolean;
  readonly problem: string | null;
}

const EMPTY: Trail = { entries: [], nextCursor: null, isLoading: true, problem: null };

/** The loaded part of the audit trail. */
export function useAudit() {
  const { client } = useSession();
  const [trail, setTrail] = useState<Trail>(EMPTY);
  const asking = useRef<AbortController | null>(null);

  const load = useCallback(
    async (cursor: string | null): Promise<void> => {
      asking.current?.abort();
      const current = new AbortController();
      asking.current = current;
      setTrail((before) => ({ ...before, isLoading: true, problem: null }));
      try {
        const query = new URLSearchParams({ limit: String(PAGE_SIZE), ...(cursor !== null && { cursor }) });
        const page = await client.get<AuditPage>(`audit?${query.toString()}`, current.signal);
        if (current.signal.aborted) return;
        setTrail((before) => ({
          entries: cursor === null ? page.entries : [...before.entries, ...page.entries],
          nextCursor: page.nextCursor,
          isLoading: false,
          problem: null,
        }));
      } catch (error) {
        if (current.signal.aborted) return;
        setTrail((before) => ({ ...before, isLoading: false, problem: describeProblem(error) }));
      }
    },
    [client],
  );

  useEffect(() => {
    void load(null);
    return () => asking.current?.abort();
  }, [load]);

  const { entries, nextCursor, isLoading, problem } = trail;
  return {
    entries,
    isLoading,
    problem,
    isComplete: nextCursor === null,
    loadMore: () => void load(nextCursor),
    reload: () => void load(null),
  };
}

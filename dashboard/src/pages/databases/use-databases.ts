import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { describeProblem } from '../../api/problem.js';
import type { DatabasesView } from '../../api/views.js';
import { useSession } from '../../session.js';

const REFRESH_MS = 10_000;

/** The databases of the participants, asked for again while the page is open and can be seen. The latest answer stays when one fails. */
export function useDatabases() {
  const { client } = useSession();
  const [view, setView] = useState<DatabasesView | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isLoading, setLoading] = useState(true);
  const asking = useRef<AbortController | null>(null);

  const load = useCallback(async (): Promise<void> => {
    asking.current?.abort();
    const current = new AbortController();
    asking.current = current;
    setLoading(true);
    try {
      const answer = await client.get<DatabasesView>('databases', current.signal);
      if (current.signal.aborted) return;
      setView(answer);
      setProblem(null);
    } catch (error) {
      if (current.signal.aborted) return;
      setProblem(describeProblem(error));
    }
    setLoading(false);
    asking.current = null;
  }, [client]);

  useEffect(() => {
    void load();
    const timer = setInterval(() => {
      if (!document.hidden && asking.current === null) void load();
    }, REFRESH_MS);
    return () => {
      clearInterval(timer);
      asking.current?.abort();
    };
  }, [load]);

  return { view, problem, isLoading, reload: () => void load() };
}

import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { useSession } from '../session.js';
import { describeProblem } from './problem.js';

/** The answer of a route, as far as it is known. */
export interface Answer<T> {
  /** Null until there is one. The latest stays when another one fails. */
  readonly answer: T | null;
  /** Why the latest attempt has failed; null when it has not. */
  readonly problem: string | null;
  readonly isLoading: boolean;
  readonly reload: () => void;
}

/**
 * Asks for the answer of a route when the component appears.
 *
 * @param path relative to the interface. Another path begins anew.
 * @param refreshMs how often it is asked for again, while the page can be seen and no answer is awaited.
 * @default never
 */
export function useAnswer<T>(path: string, refreshMs?: number): Answer<T> {
  const { client } = useSession();
  const [answer, setAnswer] = useState<T | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [isLoading, setLoading] = useState(true);
  const asking = useRef<AbortController | null>(null);

  const load = useCallback(async (): Promise<void> => {
    asking.current?.abort();
    const current = new AbortController();
    asking.current = current;
    setLoading(true);
    try {
      const found = await client.get<T>(path, current.signal);
      if (current.signal.aborted) return;
      setAnswer(found);
      setProblem(null);
    } catch (error) {
      if (current.signal.aborted) return;
      setProblem(describeProblem(error));
    }
    setLoading(false);
    asking.current = null;
  }, [client, path]);

  useEffect(() => {
    setAnswer(null);
    void load();
    const timer =
      refreshMs === undefined
        ? undefined
        : setInterval(() => {
            if (!document.hidden && asking.current === null) void load();
          }, refreshMs);
    return () => {
      clearInterval(timer);
      asking.current?.abort();
      asking.current = null;
    };
  }, [load, refreshMs]);

  return { answer, problem, isLoading, reload: useCallback(() => void load(), [load]) };
}

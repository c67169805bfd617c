import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ProblemError, describeProblem } from '../../api/problem.js';
import type { OutcomeOnly, OwnedTransaction } from '../../api/views.js';
import { useLive } from '../../live/use-live.js';
import { useSession } from '../../session.js';

interface Found {
  readonly transaction: OwnedTransaction | null;
  /** What is left of a transaction that no member keeps any more. */
  readonly outcome: OutcomeOnly | null;
  readonly problem: string | null;
  /** The coordinator does not know it, or no longer. */
  readonly isMissing: boolean;
}

const NOTHING_YET: Found = { transaction: null, outcome: null, problem: null, isMissing: false };

/** One transaction, loaded again with every overview until it has ended. */
export function useTransaction(id: string): Found & { readonly reload: () => void } {
  const { client } = useSession();
  const { overview } = useLive();
  const [found, setFound] = useState<Found>(NOTHING_YET);
  const asking = useRef<AbortController | null>(null);

  const load = useCallback(async (): Promise<void> => {
    asking.current?.abort();
    const current = new AbortController();
    asking.current = current;
    try {
      const path = `transactions/${encodeURIComponent(id)}`;
      const answer = await client.get<OwnedTransaction | OutcomeOnly>(path, current.signal);
      if (current.signal.aborted) return;
      const known = 'timeline' in answer ? { transaction: answer } : { outcome: answer };
      setFound({ ...NOTHING_YET, ...known });
    } catch (error) {
      if (current.signal.aborted) return;
      const isMissing = error instanceof ProblemError && error.status === 404;
      setFound((before) => ({ ...before, problem: describeProblem(error), isMissing }));
    } finally {
      if (asking.current === current) asking.current = null;
    }
  }, [client, id]);

  useEffect(() => {
    void load();
    return () => asking.current?.abort();
  }, [load]);
  const hasEnded = found.transaction !== null && found.transaction.endedAt !== null;
  useEffect(() => {
    if (overview !== null && !hasEnded && !found.isMissing && asking.current === null) void load();
  }, [overview, hasEnded, found.isMissing, load]);

  return { ...found, reload: () => void load() };
}

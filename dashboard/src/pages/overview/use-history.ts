import { useEffect, useState } from 'preact/hooks';
import type { HistoryPage } from '../../api/views.js';
import { useSession } from '../../session.js';

const REFRESH_MS = 30_000;

/** @returns the last hour, asked for again every half a minute; null until the first answer. The latest answer stays when one fails. */
export function useHistory(): HistoryPage | null {
  const { client } = useSession();
  const [history, setHistory] = useState<HistoryPage | null>(null);
  useEffect(() => {
    const closed = new AbortController();
    const ask = (): void => {
      client.get<HistoryPage>('history', closed.signal).then(setHistory, () => undefined);
    };
    ask();
    const timer = setInterval(ask, REFRESH_MS);
    return () => {
      clearInterval(timer);
      closed.abort();
    };
  }, [client]);
  return history;
}

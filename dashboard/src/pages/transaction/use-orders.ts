import { useCallback, useEffect, useState } from 'preact/hooks';
import type { AuditPage } from '../../api/views.js';
import { useSession } from '../../session.js';

const NONE: AuditPage = { entries: [], nextCursor: null };

/** The orders of operators that concern one transaction: the latest. They are asked for when the page opens, and after each order. */
export function useOrders(transactionId: string): {
  readonly orders: AuditPage;
  readonly reload: () => void;
} {
  const { client } = useSession();
  const [orders, setOrders] = useState(NONE);
  const [round, setRound] = useState(0);
  useEffect(() => {
    const closed = new AbortController();
    const query = new URLSearchParams({ transactionId, limit: '100' });
    // The audit trail has a page of its own, which says why it cannot be read.
    client.get<AuditPage>(`audit?${query.toString()}`, closed.signal).then(setOrders, () => undefined);
    return () => closed.abort();
  }, [client, transactionId, round]);
  return { orders, reload: useCallback(() => setRound((before) => before + 1), []) };
}

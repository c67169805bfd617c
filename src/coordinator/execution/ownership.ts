import type { ClaimedLog } from '../log/claimed-log.js';
import type { TransactionRecord } from './records.js';

/**
 * What the log says about a transaction that a branch decides:
 *
 * - `own`: it is open, and no other member has adopted its epoch, so that this member ends it.
 * - `committed`, `aborted`: it is decided.
 * - `elsewhere`: another member ends it, or the log cannot say.
 */
export type Ownership = 'own' | 'committed' | 'aborted' | 'elsewhere';

/** @returns a promise that rejects if the log does not answer. */
export async function ownershipOf({ id }: TransactionRecord, log: ClaimedLog): Promise<Ownership> {
  if (log.shared === undefined) return 'own';
  const known = await log.shared.outcomeOf(id);
  if (known.outcome === 'committed' || known.outcome === 'aborted') return known.outcome;
  // While this member is fenced, it owns nothing.
  const isOwn = known.outcome === 'live' && known.owner === log.epoch && !log.isLost;
  return isOwn ? 'own' : 'elsewhere';
}

import { settled } from '../gate/settled.js';
import type { ClaimedLog } from '../log/claimed-log.js';
import type { LoggedOutcome, SharedDecisionLog } from '../log/shared-log.js';
import type { KnownOutcome } from '../outcome.js';
import { type TransactionIds, awaitsConfirmation, isAbort, isCommit } from '../protocol/index.js';
import type { ServerLimits } from './capacity/server-limits.js';
import type { TransactionRecord } from './records.js';
import type { TransactionRegistry } from './registry.js';

/** The parts of the coordinator that an inquiry uses. */
interface InquiryParts {
  readonly ids: TransactionIds;
  readonly registry: TransactionRegistry;
  readonly limits: ServerLimits;
  readonly log: ClaimedLog;
  /** Whether a transaction waits for the key of its request. */
  readonly keys: { isWaiting(id: string): boolean };
}

/** Without its `transactionId`. */
type Known = KnownOutcome extends infer K ? (K extends unknown ? Omit<K, 'transactionId'> : never) : never;

/**
 * Finds the outcome of a transaction: in memory, or else in the log.
 *
 * @returns the known outcome; it never rejects.
 */
export async function inquire(transactionId: string, parts: InquiryParts): Promise<KnownOutcome> {
  const known = knownHere(transactionId, parts) ?? (await knownToLog(transactionId, parts));
  return { transactionId, ...known };
}

/** @returns undefined where the log may know more than the memory. */
function knownHere(id: string, { registry, ids, limits, log, keys }: InquiryParts): Known | undefined {
  const found = registry.find(id);
  if (found !== undefined)
    return decided(found) ?? (registry.isOfEarlierRun(id) ? undefined : { status: 'pending' });
  if (registry.isRestoredMember(id)) return { status: 'committed' };
  if (ids.isCurrent(id)) {
    // It has an id, and has not begun: it may still commit.
    const isWaiting = keys.isWaiting(id) || limits.isWaiting(id);
    if (isWaiting || !registry.hasBegun(id)) return { status: 'pending' };
  }
  if (log.shared !== undefined) return undefined;
  return { status: 'unknown', because: ids.originOf(id).kind === 'own' ? 'forgotten' : 'foreign' };
}

function decided(transaction: TransactionRecord): Known | undefined {
  const { state } = transaction;
  // No branch learns of a commit before it is durable.
  if (awaitsConfirmation(transaction)) return undefined;
  if (isCommit(state)) return { status: 'committed' };
  return isAbort(state) ? { status: 'aborted' } : undefined;
}

/**
 * The memory was looked at before. So a transaction of this run that had begun, and was not there, was over
 * by then: if it has committed, the log has its outcome.
 */
async function knownToLog(id: string, { log, ids }: InquiryParts): Promise<Known> {
  const shared = log.shared as SharedDecisionLog;
  const { epoch } = log;
  const answer = await settled(() => shared.outcomeOf(id));
  if ('error' in answer) return { status: 'unknown', because: 'log-unavailable' };
  const value = answer.value as LoggedOutcome;
  if (value.outcome === 'unknown') return { status: 'unknown', because: value.because };
  if (value.outcome !== 'live') return { status: value.outcome };
  const { owner, address, isPurged, isRecorded } = value;
  if (owner !== epoch) return { status: 'elsewhere', owner, address };
  // The branch decides, and the note of what it has decided is on its way to the log.
  if (!ids.isCurrent(id) || isRecorded) return { status: 'pending' };
  if (isPurged) return { status: 'unknown', because: 'purged' };
  // A server that has taken over may lack the outcome. The next write of this epoch compares its mark, and
  // fails in that case.
  const checked = await settled(() => shared.check());
  if ('error' in checked || log.epoch !== epoch) return { status: 'unknown', because: 'log-unavailable' };
  return { status: 'aborted' };
}

import { type Answer, Refused } from '../gate/answer.js';
import type { ClaimedLog } from '../log/claimed-log.js';
import type { TransactionRecord } from './records.js';

/**
 * What the log says about a transaction that a branch decides:
 *
 * - `own`: it is open, and no other member has adopted its epoch, so that this member ends it.
 * - `committed`, `aborted`: it is decided.
 * - `undecidable`: the log has nothing of it, and may have lost it: a person decides.
 * - `elsewhere`: another member ends it, or the log cannot say.
 */
export type Ownership = 'own' | 'committed' | 'aborted' | 'undecidable' | 'elsewhere';

/** @returns a promise that rejects if the log does not answer. */
export async function ownershipOf({ id }: TransactionRecord, log: ClaimedLog): Promise<Ownership> {
  if (log.shared === undefined) return 'own';
  const known = await log.shared.outcomeOf(id);
  if (known.outcome === 'committed' || known.outcome === 'aborted') return known.outcome;
  if (known.outcome === 'unknown' && known.because === 'undecidable') return 'undecidable';
  // While this member is fenced, it owns nothing.
  const isOwn = known.outcome === 'live' && known.owner === log.epoch && !log.isLost;
  return isOwn ? 'own' : 'elsewhere';
}

/**
 * Asks the branch that decides once more how it has ended. When another member has ended the transaction, the
 * branch may have forgotten it, so that its refusal proves nothing. It counts only if the transaction was
 * still this member's afterwards.
 *
 * @param ask calls the branch.
 * @returns the answer, or what the log says instead; it is a rejection if another member ends the
 * transaction.
 */
export async function askWhileOwn(
  transaction: TransactionRecord,
  log: ClaimedLog,
  ask: () => Promise<Answer>,
): Promise<Answer> {
  const before = await ownershipOf(transaction, log);
  if (!mayAsk(transaction, before)) return answerFor(before);
  const answer = await ask();
  return answer instanceof Refused ? refusedWhileOwn(transaction, log, answer) : answer;
}

/**
 * The branch that decides has refused. That counts only if the transaction is still this member's.
 *
 * @returns the refusal, or what the log says instead; it is a rejection if another member ends the
 * transaction.
 */
export async function refusedWhileOwn(
  transaction: TransactionRecord,
  log: ClaimedLog,
  refusal: Refused,
): Promise<Answer> {
  const after = await ownershipOf(transaction, log);
  return mayAsk(transaction, after) ? refusal : answerFor(after);
}

/**
 * Where the log can say nothing, the only participant still can. A last resource may have forgotten what
 * others have ended.
 */
function mayAsk(transaction: TransactionRecord, ownership: Ownership): ownership is 'own' | 'undecidable' {
  return ownership === 'own' || (ownership === 'undecidable' && !isLastResource(transaction));
}

function isLastResource({ branches, decider }: TransactionRecord): boolean {
  return branches[decider]!.participant.isLastResource;
}

function answerFor(ownership: Exclude<Ownership, 'own'>): Answer {
  if (ownership === 'committed') return 'commit';
  if (ownership === 'aborted') return new Refused(undefined, 'another member has aborted the transaction');
  if (ownership === 'undecidable')
    throw new Error('not asked: the log may have lost the decision of another member, and a person decides');
  throw new Error('not asked: another member of the log may have adopted the transaction, and ends it');
}

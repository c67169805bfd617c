import type { Asked } from './callers.js';

/** What is known of an order, past the members. */
export interface Found {
  /** The transactions that have changed the databases of stock, payment and shipping. */
  readonly ids: readonly (readonly string[])[];
}

/**
 * Holds what a caller was told against the databases.
 *
 * @returns what is wrong.
 */
export function judge(asked: Asked, { ids }: Found): string[] {
  const { order, answer } = asked;
  const what = `${order.key} (${order.manner}, of ${asked.of}), of which was told ${JSON.stringify(answer)},`;
  if (answer === undefined) return [`${what} was never answered`];
  const places = order.manner === 'one-phase' ? ids.slice(1, 2) : ids;
  const all = new Set(ids.flat());
  if (all.size > 1 || ids.some((one) => one.length > 1))
    return [`${what} was done by several transactions: ${JSON.stringify(ids)}`];
  const [done] = all;
  if (done !== undefined && places.some((one) => one.length === 0))
    return [`${what} is in some databases and not in all: ${JSON.stringify(ids)}`];
  if (done !== undefined && (order.manner === 'refused' || order.manner === 'read-only'))
    return [`${what} has changed something: ${done}`];
  return [...wrongAnswer(what, asked, done), ...wrongKnown(what, asked, done)];
}

/** @param done the transaction that was committed. */
function wrongAnswer(what: string, { order, answer }: Asked, done: string | undefined): string[] {
  if ('nothing' in answer!) return [];
  if ('refused' in answer!) return done === undefined ? [] : [`${what} is done by ${done}`];
  const { status, decision, transactionId } = answer!.told;
  if (status === 'heuristic') return [`${what} has ended against its decision`];
  if (done !== undefined && transactionId !== done) return [`${what} is done by ${done}`];
  if (order.manner === 'read-only') return [];
  const isPromised = status === 'committed' || decision === 'commit';
  if (isPromised && done === undefined) return [`${what} is not done`];
  return status === 'aborted' && done !== undefined ? [`${what} is done`] : [];
}

/** What members said to a caller that asked again. */
function wrongKnown(what: string, asked: Asked, done: string | undefined): string[] {
  const { order, known, ids, lastKnown, answer } = asked;
  const wrong: string[] = [];
  const isOpen = !('refused' in answer!) && !('told' in answer! && isFinal(answer.told.status));
  for (const id of ids) {
    const said = known.get(id);
    if (said === undefined) {
      if (isOpen) wrong.push(`${what} is not known at any member; what was said last: ${lastKnown}`);
    } else if (order.manner !== 'read-only' && (said === 'committed') !== (id === done)) {
      wrong.push(`${what} is ${said} as a member says of ${id}, and ${done ?? 'nothing'} was done`);
    }
  }
  return wrong;
}

function isFinal(status: string): boolean {
  return status === 'committed' || status === 'aborted';
}

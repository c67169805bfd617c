import type { Asked } from './callers.js';
import type { Answer } from './member-process.js';

/** The facts about an order, read directly from the databases. */
export interface Found {
  /** The transactions that have changed the databases of stock, payment and shipping. */
  readonly ids: readonly (readonly string[])[];
}

/**
 * Compares the answer to a caller with the databases.
 *
 * @returns the contradiction.
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
  return [
    ...(order.way === 'keyed' ? wrongRepeat(what, asked, answer, done) : wrongAnswer(what, asked, done)),
    ...asked.others.flatMap((answer) => wrongRepeat(what, asked, answer, done)),
    ...wrongKnown(what, asked, done),
  ];
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

/**
 * The answer to a caller with a key at another time. The key is free after an abort, so a later request may
 * commit.
 */
function wrongRepeat(what: string, { order }: Asked, answer: Answer, done: string | undefined): string[] {
  if (!('told' in answer) || order.manner === 'read-only') return [];
  const { status, decision, transactionId } = answer.told;
  const isPromised = status === 'committed' || decision === 'commit';
  if (status === 'heuristic' || (isPromised && transactionId !== done))
    return [`${what} and before ${JSON.stringify(answer)}, is done by ${done ?? 'nothing'}`];
  return status === 'aborted' && transactionId === done
    ? [`${what} and before aborted, is done by ${done}`]
    : [];
}

/** The answers of members to a caller that asked again. */
function wrongKnown(what: string, asked: Asked, done: string | undefined): string[] {
  const { order, known, inquired, lastKnown } = asked;
  const wrong: string[] = [];
  for (const id of inquired) {
    const said = known.get(id);
    if (said === undefined)
      wrong.push(`${what} is not known at any member; what was said last: ${lastKnown}`);
    else if (order.manner !== 'read-only' && (said === 'committed') !== (id === done))
      wrong.push(`${what} is ${said} as a member says of ${id}, and ${done ?? 'nothing'} was done`);
  }
  return wrong;
}

import type { Books } from '../crash-demo/books.js';
import { type JudgedOrder, type PlacedOrder, problemsOf } from '../failover-demo/judge.js';

/** What the databases had before the incident and have after it. */
export interface IncidentBooks {
  readonly before: Books;
  readonly after: Books;
}

/** An order as the database has it, with what it comes to. */
export interface PricedOrder extends PlacedOrder {
  readonly cents: number;
  readonly pieces: number;
}

/**
 * Judges an incident in which one order has ended against its decision: it is placed and has its goods, and is not paid.
 *
 * @param orders of all customers.
 * @param heuristic the transaction of that order.
 * @returns what is wrong, a sentence each; nothing when each other order has changed all databases or none, and every answer was true.
 */
export function problemsOfIncident(
  orders: readonly JudgedOrder[],
  placed: readonly PricedOrder[],
  heuristic: string,
  { before, after }: IncidentBooks,
): string[] {
  const odd = placed.filter(({ transactionId }) => transactionId === heuristic);
  if (odd.length !== 1) {
    return [
      `The database has ${odd.length} orders of the transaction that ended heuristically, and should have 1.`,
    ];
  }
  const [{ key: oddKey, cents, pieces }] = odd as [PricedOrder];
  const keys = new Set(placed.map(({ key }) => key));
  const whole = placed.filter(({ key }) => key !== oddKey);
  const books = {
    ordered: after.ordered - before.ordered - cents,
    paid: after.paid - before.paid,
    sold: after.sold - before.sold - pieces,
    taken: after.taken - before.taken - pieces,
    prepared: after.prepared,
  };
  const confirmed = orders.filter(({ key }) => key !== oddKey && keys.has(key));
  const others = orders.filter(({ key }) => !keys.has(key));
  return [
    ...problemsOf(confirmed, whole, books),
    ...others.flatMap(({ key, answers }) =>
      answers
        .filter(({ status, decision }) => status === 201 || (status === 202 && decision === 'commit'))
        .map(
          ({ member, status }) =>
            `${member} has answered ${status} to ${key}, and the database has no such order.`,
        ),
    ),
  ];
}

import type { Books, PlacedOrder } from '../demo-support/books.js';
import { type JudgedOrder, problemsOf } from '../demo-support/judge.js';

/** The contents of the databases before and after the incident. */
export interface IncidentBooks {
  readonly before: Books;
  readonly after: Books;
}

/**
 * Judges an incident in which one order has ended against its decision: it is placed and has its goods, and
 * is not paid.
 *
 * @param orders of all customers.
 * @param heuristic the transaction of that order.
 * @returns the problems, a sentence each; none when each other order has changed all databases or none, and
 * every answer was true.
 */
export function problemsOfIncident(
  orders: readonly JudgedOrder[],
  placed: readonly PlacedOrder[],
  heuristic: string,
  { before, after }: IncidentBooks,
): string[] {
  const odd = placed.filter(({ transactionId }) => transactionId === heuristic);
  if (odd.length !== 1) {
    return [
      `The database has ${odd.length} orders of the transaction that ended heuristically, and should have 1.`,
    ];
  }
  const [{ key: oddKey, cents, pieces }] = odd as [PlacedOrder];
  const keys = new Set(placed.map(({ key }) => key));
  const whole = placed.filter(({ key }) => key !== oddKey);
  const books = {
    ordered: after.ordered - before.ordered - cents,
    paid: after.paid - before.paid,
    sold: after.sold - before.sold - pieces,
    taken: after.taken - before.taken - pieces,
    prepared: after.prepared,
  };
  return [
    ...problemsOf(
      orders.filter(({ key }) => key !== oddKey && keys.has(key)),
      whole,
      books,
    ),
    ...orders.filter(({ key }) => key === oddKey).flatMap((order) => problemsOfOdd(order, heuristic)),
    ...orders.filter(({ key }) => !keys.has(key)).flatMap(problemsOfRefused),
  ];
}

/**
 * The customer of the order that was ended by hand must not be told that it is complete, or that nothing was
 * done.
 */
function problemsOfOdd({ key, answers }: JudgedOrder, heuristic: string): string[] {
  return answers
    .filter(({ status, transactionId }) => status === 201 || (status !== 202 && transactionId === heuristic))
    .map(
      ({ member, status }) => `${member} has answered ${status} to ${key}, which is placed and is not paid.`,
    );
}

/** An order without any trace must have been refused in the end, and never promised. */
function problemsOfRefused({ key, answers }: JudgedOrder): string[] {
  const lies = answers.filter(
    ({ status, decision }) => ![202, 409, 503].includes(status) || (status === 202 && decision === 'commit'),
  );
  const last = answers.at(-1);
  return [
    ...lies.map(
      ({ member, status }) =>
        `${member} has answered ${status} to ${key}, and the database has no such order.`,
    ),
    ...(lies.length === 0 && last?.status !== 409 && last?.status !== 503
      ? [
          `The order ${key} left no trace, and its customer was not told so: the last answer is ${last?.status}.`,
        ]
      : []),
  ];
}

import type { Books, PlacedOrder } from './books.js';
import type { Answer, CustomerOrder } from './customer-order.js';

/** The properties of an order that are judged. */
export type JudgedOrder = Pick<CustomerOrder, 'key' | 'answers'>;

/**
 * Compares the answers to the customers with the databases.
 *
 * @returns the problems, a sentence each; none when every order is complete and paid once, and every answer
 * was true.
 */
export function problemsOf(
  orders: readonly JudgedOrder[],
  placed: readonly Omit<PlacedOrder, 'cents' | 'pieces'>[],
  { ordered, paid, sold, taken, prepared }: Omit<Books, 'orders' | 'ordersByKey'>,
): string[] {
  const problems: string[] = [];
  if (placed.length !== orders.length) {
    problems.push(
      `The customers have placed ${orders.length} orders, and the database has ${placed.length}.`,
    );
  }
  if (ordered !== paid) problems.push(`The orders come to ${ordered} cents, and ${paid} cents were paid.`);
  if (sold !== taken) problems.push(`${sold} pieces were sold, and ${taken} were taken from the stock.`);
  if (prepared !== 0) problems.push(`${prepared} branches are still prepared and hold their locks.`);
  const transactions = new Set(placed.map(({ transactionId }) => transactionId));
  for (const { key, answers } of orders) {
    const rows = placed.filter((each) => each.key === key);
    if (rows.length !== 1) {
      problems.push(`The database has ${rows.length} orders under the key ${key}, and should have 1.`);
      continue;
    }
    const firstConfirmation = Math.min(...answers.filter(({ status }) => status === 201).map(({ at }) => at));
    if (firstConfirmation === Infinity) problems.push(`No member has confirmed the order ${key}.`);
    for (const answer of answers) {
      const lie = lieOf(answer, rows[0]!, transactions, firstConfirmation);
      if (lie !== undefined)
        problems.push(`${answer.member} has answered ${answer.status} to ${key}: ${lie}`);
    }
  }
  return problems;
}

/** @returns why an answer was not true, or undefined when it was. */
function lieOf(
  { status, sentAt, orderId, transactionId, decision, code }: Answer,
  row: Pick<PlacedOrder, 'orderId' | 'transactionId'>,
  transactions: ReadonlySet<string>,
  firstConfirmation: number,
): string | undefined {
  const isPlaced = transactionId !== undefined && transactions.has(transactionId);
  if (status === 201) {
    const isTrue = orderId === row.orderId && transactionId === row.transactionId;
    return isTrue ? undefined : `it named the order ${orderId}, and the database has ${row.orderId}.`;
  }
  if (status === 202) {
    if (decision === 'commit' && !isPlaced)
      return `it said that commit is decided, and ${transactionId} has no order.`;
    if (decision === 'abort' && isPlaced)
      return `it said that abort is decided, and ${transactionId} has an order.`;
    return undefined;
  }
  if (status !== 409 && status !== 503) return `no member may answer so here (${code}).`;
  if (isPlaced) return `it said that nothing was done, and ${transactionId} has an order.`;
  // The key is in use while its request is being served. After that the answer is the order.
  const mayStillRun = code === 'DTC_IDEMPOTENCY_KEY_IN_USE' || status === 503;
  return sentAt > firstConfirmation && !mayStillRun ? 'the order was already confirmed.' : undefined;
}

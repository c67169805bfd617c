import { orderIdOf } from '../../samples/services/gateway/order-id.js';
import { STOCK_AT_START } from '../../samples/services/inventory/inventory.module.js';
import { MONEY_AT_START } from '../../samples/services/payment/payment.module.js';
import type { Books, PlacedOrder } from './books.js';
import { type Answer, type ShopOrder, saysCancelledBefore } from './shop-order.js';

/** The properties of an order that are judged. */
export type JudgedOrder = Pick<ShopOrder, 'key' | 'answers' | 'isConfirmed' | 'isCancelled'>;

/**
 * Compares the answers to the customers with the databases.
 *
 * @param wanted orders that had to be placed in the end.
 * @param refused orders that can never be placed.
 * @returns the problems, a sentence each; none when every order is complete and paid once, or left no trace,
 * and every answer was true.
 */
export function problemsOf(
  wanted: readonly JudgedOrder[],
  refused: readonly JudgedOrder[],
  books: Books,
): string[] {
  const known = new Set([...wanted, ...refused].map(({ key }) => orderIdOf(key)));
  return [
    ...books.orders
      .filter(({ orderId }) => !known.has(orderId))
      .map(({ orderId }) => `No customer has sent the order ${orderId}.`),
    ...wanted.flatMap((order) => problemsOfWanted(order, rowsOf(order, books))),
    ...refused.flatMap((order) => problemsOfRefused(order, rowsOf(order, books))),
    ...problemsOfBooks(books),
  ];
}

function rowsOf({ key }: JudgedOrder, { orders }: Books): readonly PlacedOrder[] {
  return orders.filter(({ orderId }) => orderId === orderIdOf(key));
}

function problemsOfWanted(order: JudgedOrder, [row, ...more]: readonly PlacedOrder[]): string[] {
  const { key, answers, isConfirmed, isCancelled } = order;
  if (!isConfirmed) return [`The order ${key} was never confirmed.`];
  if (row === undefined || more.length > 0)
    return [
      `The database has ${row === undefined ? 0 : 1 + more.length} orders of ${key}, and should have 1.`,
    ];
  const problems = answers.flatMap((answer) => {
    const lie = answer.to === 'place' ? lieOfPlacing(answer, row) : lieOfCancelling(answer, row);
    return lie === undefined
      ? []
      : [`The answer ${answer.status} to ${answer.to} ${key} is not true: ${lie}`];
  });
  if (!isCancelled && row.cancelledBy !== null && !answers.some(({ to }) => to === 'cancel'))
    problems.push(`The order ${key} is cancelled, and its customer has not asked for that.`);
  return problems;
}

function problemsOfRefused({ key, answers }: JudgedOrder, rows: readonly PlacedOrder[]): string[] {
  return [
    ...(rows.length > 0 ? [`The order ${key} is placed, and it was refused.`] : []),
    ...answers
      .filter(({ status }) => status !== 409)
      .map(({ status, code }) => `The answer to ${key} is ${status} (${code}), and should be a refusal.`),
    ...(answers.length === 0 ? [`The order ${key} was never answered, and should be refused.`] : []),
  ];
}

/** @returns why an answer was not true, or undefined when it was. */
function lieOfPlacing(
  { status, orderId, transactionId, code }: Answer,
  row: PlacedOrder,
): string | undefined {
  const isIts = transactionId === row.placedBy;
  switch (status) {
    case 201:
      if (orderId !== row.orderId)
        return `it names the order ${orderId}, and the database has ${row.orderId}.`;
      return isIts ? undefined : `it names the transaction ${transactionId}, and it was ${row.placedBy}.`;
    case 202:
      // The outcome was not known yet.
      return undefined;
    case 503:
      return isIts ? 'it says that nothing was done.' : undefined;
    default:
      return `no such answer may come here (${code}).`;
  }
}

function lieOfCancelling(answer: Answer, row: PlacedOrder): string | undefined {
  const { status, transactionId, code } = answer;
  const isIts = transactionId !== undefined && transactionId === row.cancelledBy;
  if (saysCancelledBefore(answer))
    return row.cancelledBy === null ? 'the order is not cancelled.' : undefined;
  switch (status) {
    case 200:
      return isIts ? undefined : `it names the transaction ${transactionId}, and it was ${row.cancelledBy}.`;
    case 202:
      return undefined;
    case 409:
      // The transaction ended before all branches were added.
      return code === 'DTC_NOT_ACTIVE' ? undefined : `no such answer may come here (${code}).`;
    case 503:
      return isIts ? 'it says that nothing was done.' : undefined;
    default:
      return `no such answer may come here (${code}).`;
  }
}

/** Each database has only a part of the order. All parts must agree. */
function problemsOfBooks({ orders, stock, balances, payments, prepared }: Books): string[] {
  const open = orders.filter(({ cancelledBy }) => cancelledBy === null);
  const problems = open.flatMap(({ orderId, total }) => {
    const paid = payments.filter((payment) => payment.orderId === orderId).map(({ amount }) => amount);
    return paid.length === 1 && paid[0] === total
      ? []
      : [`The order ${orderId} comes to ${total} cents, and was paid with ${paid.join(' + ') || 'nothing'}.`];
  });
  const isOpen = new Set(open.map(({ orderId }) => orderId));
  for (const { orderId } of payments) {
    if (!isOpen.has(orderId))
      problems.push(`The order ${orderId} is paid, and is not placed, or is cancelled.`);
  }
  for (const [sku, start] of Object.entries(STOCK_AT_START)) {
    const sold = sum(
      open.flatMap(({ lines }) => lines.filter((line) => line.sku === sku)),
      'quantity',
    );
    const taken = start - (stock.get(sku) ?? 0);
    if (sold !== taken) problems.push(`${sold} pieces of ${sku} are sold, and ${taken} have left the stock.`);
  }
  for (const [customer, start] of Object.entries(MONEY_AT_START)) {
    const due = sum(
      open.filter((order) => order.customer === customer),
      'total',
    );
    const paid = start - (balances.get(customer) ?? 0);
    if (due !== paid) problems.push(`${customer} has ordered for ${due} cents, and has paid ${paid}.`);
  }
  if (prepared !== 0) problems.push(`${prepared} branches are still prepared and hold their locks.`);
  return problems;
}

function sum<F extends string>(rows: readonly Readonly<Record<F, number>>[], field: F): number {
  return rows.reduce((total, row) => total + row[field], 0);
}

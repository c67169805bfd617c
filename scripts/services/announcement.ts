import type { ProcessName, ProcessPlan } from './plan.js';

const ORDER = `'{"customer":"alice","lines":[{"sku":"keyboard","quantity":1}]}'`;

/** @returns the text about the running processes and what to try, with commands to paste. */
export function shopTextOf(
  plans: Readonly<Record<ProcessName, Pick<ProcessPlan, 'url'>>>,
  postgres: string,
  folder: string,
): string {
  const gateway = plans.gateway.url;
  const rows = [
    ['gateway', `${gateway}/orders takes orders, and runs each as one transaction over the three services`],
    ['order', `${plans.order.url}/orders/ORDER_ID, with a database of its own`],
    ['inventory', `${plans.inventory.url}/stock/keyboard, with a database of its own`],
    ['payment', `${plans.payment.url}/accounts/alice, with a database of its own`],
    ['coordinator-1', `${plans['coordinator-1'].url}/dashboard, documentation at /docs`],
    ['coordinator-2', `${plans['coordinator-2'].url}/dashboard, documentation at /docs`],
    ['PostgreSQL', postgres],
    ['Tokens', `in ${folder}/tokens, one folder for each process`],
    ['To stop', 'Ctrl+C'],
  ];
  return [
    '',
    'The shop is running as six processes.',
    '',
    ...rows.map(([name, value]) => `  ${name!.padEnd(14)} ${value}`),
    '',
    'Try it in a second terminal. Place an order. When you repeat it, the answer is the same, and nothing is done again:',
    '',
    `  curl -i ${gateway}/orders -H 'content-type: application/json' -H 'idempotency-key: first-order' \\`,
    `    -d ${ORDER}`,
    '',
    'See what it has changed, and cancel it by the orderId of the answer:',
    '',
    `  curl -s ${plans.inventory.url}/stock/keyboard; curl -s ${plans.payment.url}/accounts/alice`,
    `  curl -i -X POST ${gateway}/orders/ORDER_ID/cancellation`,
    '',
    'Or type here: "stop payment", and orders are answered with 503 and change nothing; "start payment" starts it again.',
    '"kill payment" and "kill coordinator-1" end a process as a power failure does; it is started again after a second.',
    'samples/services/README.md explains the code. "npm run demo:services" kills and checks by itself.',
    '',
    '',
  ].join('\n');
}

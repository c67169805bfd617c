/** Where a member is. */
export interface MemberFacts {
  readonly name: string;
  readonly url: string;
}

const ORDER = `'{"customerId":"alice","items":[{"sku":"keyboard","quantity":1}]}'`;

/** The PostgreSQL server that was started with the cluster. */
export interface ClusterServer {
  readonly address: string;
  /** Where its data and the password of its user are. */
  readonly folder: string;
}

/**
 * @returns a text about what a person can do with a cluster that has started, in a few lines with commands to
 * paste.
 */
export function clusterTextOf(members: readonly MemberFacts[], server: ClusterServer | undefined): string {
  const [first, second = first!, third = second] = members;
  const rows = [
    ...members.map(({ name, url }) => [
      name,
      `${url}/orders, documentation at /docs, dashboard at /dashboard`,
    ]),
    ['Decisions', 'in one PostgreSQL database, which all members share: a restart continues with them'],
    ...(server === undefined
      ? []
      : [['PostgreSQL', `${server.address}, its data and the password of postgres are in ${server.folder}`]]),
    ['To stop', 'Ctrl+C'],
  ];
  return [
    '',
    `${members.length} members of one shop are running. Each takes orders, and the others take over from one that is gone.`,
    '',
    ...rows.map(([name, value]) => `  ${name!.padEnd(12)} ${value}`),
    '',
    'Try it in a second terminal. Place an order at one member:',
    '',
    orderAt(first!),
    '',
    'Send the same request to another member: it answers with the same order, and places no second one.',
    '',
    orderAt(second),
    '',
    'See what it has taken at any member, and its transaction, by the transactionId of the answer:',
    '',
    `  curl -s ${third.url}/inventory/keyboard; curl -s ${third.url}/accounts/alice`,
    `  curl -s ${third.url}/transactions/TRANSACTION_ID`,
    '',
    'Or type here: "kill 2" ends member 2 as a power failure does, "stop 2" stops it cleanly, "start 2" starts it again.',
    'The dashboards of the others show how they take over. "npm run demo:failover" shows and checks it by itself.',
    '',
    '',
  ].join('\n');
}

function orderAt({ url }: MemberFacts): string {
  return (
    `  curl -i ${url}/orders -H 'content-type: application/json' -H 'idempotency-key: first-order' \\\n` +
    `    -d ${ORDER}`
  );
}

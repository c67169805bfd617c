import { FailoverDemo } from './demo.js';
import { endWith, stage } from '../demo-support/stage.js';

/**
 * A failover that anyone can watch: three members of one shop, of which one is killed between a decision and its delivery,
 * and another one stands still for longer than its lease.
 *
 *     npm run demo:failover -- [--short]
 *
 * It ends with code 0 only if every order is complete and paid once, and every answer was true. `--short` has fewer orders
 * and a shorter lease.
 */
const SHORT = { leaseMs: 2_000, ordersPerMember: 3 };
const LONG = { leaseMs: 5_000, ordersPerMember: 10 };

if (process.platform === 'win32') {
  endWith('Windows has no signal that stops a process for a while. Run it on Linux or macOS, or in WSL.');
}
await stage({
  name: 'failover-demo',
  hasShort: true,
  // A start takes some eight seconds, and the rest less than half a minute. Each wait has a limit of its own.
  startWithinMs: 120_000,
  endWithinMs: 240_000,
  opening: (story) => {
    story.begin('Three members of one shop');
    story.add(
      'Each member is a process that takes orders. All members keep their decisions in one PostgreSQL database.',
    );
    story.add(
      'An order changes three other databases: it is written, its goods leave the stock, and it is paid.',
    );
    story.add('All three change, or none. Two of the members will fail in the middle of orders.');
    story.tell('PostgreSQL and the members are starting. This takes some seconds.');
  },
  play: ({ environment, isShort, story }) => new FailoverDemo(environment, isShort ? SHORT : LONG, story),
  ending: 'Every order is complete and paid once, and every answer was true.',
});

import { stage } from '../demo-support/stage.js';
import { ServicesDemo } from './services-demo.js';

/**
 * The shop as services, of which some are killed in the middle of orders: a service between the decision and its commit, a coordinator
 * between the decision and its completion, and two services while orders are placed and cancelled.
 *
 *     npm run demo:services -- [--short]
 *
 * It ends with code 0 only if every order is complete and paid once, or left no trace, and every answer was true. `--short` has fewer
 * orders and a shorter lease.
 */
const SHORT = { leaseMs: 2_000, orders: 6 };
const LONG = { leaseMs: 5_000, orders: 12 };

await stage({
  name: 'services-demo',
  hasShort: true,
  // A start takes some ten seconds, and the rest less than half a minute.
  startWithinMs: 300_000,
  endWithinMs: 480_000,
  opening: (story) => {
    story.begin('A shop of three services, each with a database of its own');
    story.add('Order, inventory and payment are processes, and so are a gateway and two coordinators.');
    story.add('An order is written down, its goods leave the stock, and it is paid: all of it, or nothing.');
    story.tell('PostgreSQL and the six processes are starting. This takes some seconds.');
  },
  play: ({ environment, folder, isShort, story }) =>
    new ServicesDemo(environment, folder, isShort ? SHORT : LONG, story),
  ending: 'Every order is complete and paid once, or left no trace, and every answer was true.',
});

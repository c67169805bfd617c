import { stage } from '../demo-support/stage.js';
import { CrashDemo } from './demo.js';

/**
 * A crash that anyone can watch: the application on PostgreSQL is killed between a decision and its delivery, and started again.
 *
 *     npm run demo:crash
 *
 * It ends with code 0 only if every order is complete and paid once, and every answer was true.
 */
await stage({
  name: 'crash-demo',
  // A start takes some eight seconds, and the rest as long.
  startWithinMs: 120_000,
  endWithinMs: 120_000,
  opening: (story) => story.tell('PostgreSQL and the shop are starting. This takes some seconds.'),
  play: (given) => new CrashDemo(given),
  ending: 'Every order is complete and paid once, and every answer was true.',
});

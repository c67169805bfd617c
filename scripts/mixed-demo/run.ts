import { MariaDbServer, hasMariaDb } from '../../test/support/mariadb/server.js';
import { endWith, stage } from '../demo-support/stage.js';
import { MixedDemo } from './demo.js';

/**
 * One transaction over two kinds of database: an order in PostgreSQL, its stock in MariaDB. The process is killed between the two
 * commits, and started again.
 *
 *     npm run demo:mixed
 *
 * It ends with code 0 only if each order has its stock, and no stock is gone without an order. It needs MariaDB.
 */
if (!hasMariaDb())
  endWith('MariaDB is not installed, so nothing can be shown: apt-get install mariadb-server');
await stage({
  name: 'mixed-demo',
  // A start takes some twelve seconds, and the rest less than that.
  startWithinMs: 180_000,
  endWithinMs: 120_000,
  opening: (story) => story.tell('PostgreSQL and MariaDB are starting. This takes some seconds.'),
  startServer: async (folder) => {
    const server = await MariaDbServer.start({}, folder);
    // It is killed at once. Its files are in the folder.
    process.prependOnceListener('exit', () => void server.kill());
    return server;
  },
  play: (given) => new MixedDemo(given),
  ending: 'Every order has its stock, and no stock is gone without an order.',
});

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { QueryResultRow } from 'pg';
import type { MariaDbDatabase, MariaDbServer } from '../../test/support/mariadb/server.js';
import { query } from '../demo-support/books.js';
import { LastLines } from '../demo-support/last-lines.js';
import type { Play, Stage } from '../demo-support/stage.js';
import type { Story } from '../demo-support/story.js';
import { until } from '../demo-support/until.js';
import type { Order, Told } from './shop.js';

const STOCK = 10;
const SETTLED_WITHIN_MS = 30_000;

/** The contents of both databases: ordered pieces, pieces taken from the stock, and prepared branches. */
interface State {
  readonly ordered: number;
  readonly taken: number;
  readonly prepared: number;
}

/** A shop over two kinds of database, which is killed between the two commits. */
export class MixedDemo implements Play {
  /** The shop logs errors alone, to the terminal. */
  readonly lastLines = new LastLines();
  private readonly orderUrl: string;
  private readonly folder: string;
  private readonly story: Story;
  private readonly mariaDb: MariaDbServer;
  private stock!: MariaDbDatabase;
  private shop: ChildProcess | undefined;

  constructor({ environment, folder, story, server }: Stage<MariaDbServer>) {
    this.orderUrl = environment.ORDER_DATABASE_URL;
    this.folder = folder;
    this.story = story;
    this.mariaDb = server;
  }

  async start(): Promise<void> {
    this.stock = await this.mariaDb.createDatabase();
    await this.stock.query(
      'CREATE TABLE stock (sku varchar(32) PRIMARY KEY, available int NOT NULL) ENGINE=InnoDB',
    );
    await this.stock.query('INSERT INTO stock VALUES (?, ?)', ['lamp', STOCK]);
    await this.inOrders(
      'CREATE TABLE orders_of_demo (id text PRIMARY KEY, sku text NOT NULL, quantity int NOT NULL)',
    );
    await this.startShop('yes');
    this.story.tell('Orders are in PostgreSQL, the stock is in MariaDB.');
  }

  /** @returns what is wrong, a sentence each. */
  async run(): Promise<string[]> {
    const { story } = this;
    const problems: string[] = [];
    const expect = (when: string, found: State, wanted: State): void => {
      if (JSON.stringify(found) !== JSON.stringify(wanted))
        problems.push(`${when}: ${JSON.stringify(found)}, and should be ${JSON.stringify(wanted)}.`);
    };
    const placed = await this.order({ id: 'order-1', sku: 'lamp', quantity: 2 });
    story.tell(`order-1 for 2 lamps: ${placed.status}`);
    if (placed.status !== 'committed') problems.push(`order-1 is ${placed.status}.`);
    const refused = await this.order({ id: 'order-2', sku: 'lamp', quantity: 50 });
    story.tell(`order-2 for 50 lamps: ${refused.status} (${refused.code})`);
    if (refused.status !== 'aborted' || refused.code !== 'OUT_OF_STOCK')
      problems.push(`order-2 is ${refused.status} (${refused.code}).`);
    expect('After two orders', await this.show('Now:'), { ordered: 2, taken: 2, prepared: 0 });

    story.begin('The process is killed between the two commits');
    const between = this.heard((told) => told.type === 'between');
    this.shop!.send({ id: 'order-3', sku: 'lamp', quantity: 3, stopsBetween: true } satisfies Order);
    await between;
    const killed = once(this.shop!, 'exit');
    this.shop!.kill('SIGKILL');
    await killed;
    const torn = await this.show('order-3 for 3 lamps is committed in PostgreSQL alone:');
    expect('After the kill', torn, { ordered: 5, taken: 2, prepared: 1 });

    story.begin('The process is started again, and delivers what was decided');
    await this.startShop('no');
    await until(
      'no branch is prepared',
      async () => (await this.mariaDb.prepared()).length === 0,
      SETTLED_WITHIN_MS,
    );
    expect('In the end', await this.show('In the end:'), { ordered: 5, taken: 5, prepared: 0 });
    this.shop!.kill('SIGKILL');
    return problems;
  }

  kill(): void {
    this.shop?.kill('SIGKILL');
  }

  private async startShop(mayStop: 'yes' | 'no'): Promise<void> {
    this.shop = fork(join(import.meta.dirname, 'shop.js'), {
      env: {
        PATH: process.env['PATH'],
        ORDER_DATABASE_URL: this.orderUrl,
        STOCK_DATABASE_URL: this.stock.url,
        DECISION_LOG_PATH: join(this.folder, 'decisions'),
        MAY_STOP: mayStop,
      },
    });
    await this.heard((told) => told.type === 'started');
  }

  private async order(given: Order): Promise<Extract<Told, { type: 'answer' }>> {
    const answer = this.heard((told) => told.type === 'answer' && told.id === given.id);
    this.shop!.send(given);
    return (await answer) as Extract<Told, { type: 'answer' }>;
  }

  /** @returns the first message of the shop that is meant. @throws when the shop ends before. */
  private heard(isMeant: (told: Told) => boolean): Promise<Told> {
    const child = this.shop!;
    const { promise, resolve, reject } = Promise.withResolvers<Told>();
    const hear = (told: Told): void => {
      if (isMeant(told)) resolve(told);
    };
    const fail = (): void => reject(new Error('the shop has ended by itself.'));
    child.on('message', hear);
    child.once('exit', fail);
    return promise.finally(() => {
      child.off('message', hear);
      child.off('exit', fail);
    });
  }

  private async show(title: string): Promise<State> {
    const [order] = await this.inOrders<{ ordered: number }>(
      'SELECT coalesce(sum(quantity), 0)::int AS ordered FROM orders_of_demo',
    );
    const [left] = await this.stock.query<{ available: number }>('SELECT available FROM stock');
    const state = {
      ordered: order!.ordered,
      taken: STOCK - left!.available,
      prepared: (await this.mariaDb.prepared()).length,
    };
    this.story.tell(title);
    this.story.add(
      `ordered in PostgreSQL ${state.ordered}, taken in MariaDB ${state.taken}, prepared there ${state.prepared}`,
    );
    return state;
  }

  private inOrders<R extends QueryResultRow>(sql: string): Promise<R[]> {
    return query<R>(this.orderUrl, sql);
  }
}

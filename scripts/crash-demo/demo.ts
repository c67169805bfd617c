import { join } from 'node:path';
import { MemberProcess } from '../../src/cluster/member-process.js';
import {
  type Books,
  type ShopDatabases,
  areWhole,
  databasesOf,
  euros,
  readBooks,
  readOrders,
} from '../demo-support/books.js';
import { CustomerOrder } from '../demo-support/customer-order.js';
import { problemsOf } from '../demo-support/judge.js';
import { LastLines } from '../demo-support/last-lines.js';
import type { Play, Stage } from '../demo-support/stage.js';
import type { Story } from '../demo-support/story.js';
import { until } from '../demo-support/until.js';

const NAME = 'the shop';
const SETTLED_WITHIN_MS = 30_000;
const STOP_WITHIN_MS = 15_000;

/** One shop, which is killed between a decision and its delivery, and started again. */
export class CrashDemo implements Play {
  readonly lastLines = new LastLines();
  private readonly placed = ['alice', 'bob', 'alice', 'bob', 'alice'].map(
    (customer, index) => new CustomerOrder(`key-${index + 1}`, customer, 'keyboard'),
  );
  /** None of these orders waits for another one, so all three are under way at the crash. */
  private readonly atOnce = [
    new CustomerOrder('key-6', 'alice', 'keyboard'),
    new CustomerOrder('key-7', 'bob', 'monitor'),
    new CustomerOrder('key-8', 'carol', 'usb-cable'),
  ];
  private readonly urls: ShopDatabases;
  private readonly folder: string;
  private readonly story: Story;
  private shop: MemberProcess | undefined;
  /** The log lines of the shop since its last start. */
  private said: string[] = [];

  constructor({ environment, folder, story }: Stage) {
    this.urls = databasesOf(environment);
    this.folder = folder;
    this.story = story;
  }

  async start(): Promise<void> {
    await this.startShop();
    this.story.tell('PostgreSQL runs with three databases, and the shop in front of it.');
  }

  /** @returns the problems that remain at the end, a sentence each. */
  async run(): Promise<string[]> {
    await this.sell();
    await this.crash();
    const problems = await this.recover();
    problems.push(...(await this.check()));
    const { code, signal } = await this.shop!.stop(STOP_WITHIN_MS);
    if (code !== 0) problems.push(`The shop has not stopped cleanly: code ${code}, signal ${signal}.`);
    return problems;
  }

  kill(): void {
    this.shop?.signal('SIGKILL');
  }

  private async startShop(): Promise<MemberProcess> {
    this.said = [];
    const { order, inventory, payment } = this.urls;
    const environment = {
      ...process.env,
      ORDER_DATABASE_URL: order,
      INVENTORY_DATABASE_URL: inventory,
      PAYMENT_DATABASE_URL: payment,
      DECISION_LOG_PATH: join(this.folder, 'decisions'),
      PORT: '0',
      LOG_LEVEL: 'info',
      DTC_RECOVERY_INTERVAL_MS: '250',
      DTC_ORPHAN_SAFETY_MS: '1000',
    };
    const program = join(import.meta.dirname, '../demo-support/member.js');
    this.shop = await MemberProcess.start(NAME, program, environment, (line) => {
      this.said.push(line.text);
      this.lastLines.hear(NAME, line);
    });
    return this.shop;
  }

  private async sell(): Promise<void> {
    this.story.begin('A shop with three services, each with a database of its own');
    for (const order of this.placed) await order.send(this.shop!);
    const missing = this.placed.find(({ isConfirmed }) => !isConfirmed);
    if (missing !== undefined) throw new Error(`the order ${missing.key} was not confirmed.`);
    this.show(`${this.placed.length} orders are placed:`, await readBooks(this.urls));
  }

  private async crash(): Promise<void> {
    const { story, atOnce, shop } = this;
    story.begin('The shop loses its power between a decision and its delivery');
    shop!.tell({ arm: 'kill' });
    await shop!.next((message) => message['armed'] === true);
    await Promise.all(atOnce.map((order) => order.send(shop!)));
    const { code, signal } = await shop!.ended;
    // On Windows a process that kills itself ends with code 1, and without a signal.
    if (signal !== 'SIGKILL' && !(process.platform === 'win32' && code === 1))
      throw new Error(`the shop ended by itself, with code ${code}, before it could be killed.`);
    story.tell(
      `${atOnce.length} more orders at once. Two services have heard that one of them is to be committed: SIGKILL.`,
    );
    story.add(`${atOnce.filter(({ lost }) => lost > 0).length} customers were never answered.`);
    const torn = await readBooks(this.urls);
    this.show('The databases do not agree:', torn);
    if (areWhole(torn))
      throw new Error('the shop was not killed in the middle of an order, so nothing was shown.');
  }

  /** @returns the problems that remain when everything is settled. */
  private async recover(): Promise<string[]> {
    const { story, atOnce } = this;
    story.begin('The shop is started again');
    const shop = await this.startShop();
    await until(
      'no branch is prepared',
      async () => (await readBooks(this.urls)).prepared === 0,
      SETTLED_WITHIN_MS,
    );
    const settled = await readBooks(this.urls);
    for (const text of this.said.filter((line) => /Delivering|rolled back|orphan/i.test(line)))
      story.add(`it says: ${text}`);
    this.show('What was decided is delivered, and what was not is rolled back:', settled);
    story.tell('The customers ask again, with the keys that they had:');
    for (const order of atOnce) {
      const answer = await order.send(shop);
      story.add(`${order.key}  ${answer?.status}  ${answer?.orderId ?? answer?.code ?? ''}`);
    }
    return areWhole(settled) ? [] : ['The databases do not agree, although no order is open.'];
  }

  private async check(): Promise<string[]> {
    this.story.begin('The check: every order, and every answer that a customer got');
    const books = await readBooks(this.urls);
    this.show('In the end:', books);
    return problemsOf([...this.placed, ...this.atOnce], await readOrders(this.urls), books);
  }

  private show(title: string, { orders, ordered, paid, sold, taken, prepared }: Books): void {
    const { story } = this;
    story.tell(title);
    story.add(`  orders     ${orders} orders, ${euros(ordered)}, ${sold} pieces`);
    story.add(`  inventory  ${taken} pieces taken`);
    story.add(`  payments   ${euros(paid)} paid`);
    story.add(`  prepared   ${prepared}`);
  }
}

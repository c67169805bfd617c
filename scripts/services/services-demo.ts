import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MemberLine, MemberProcess } from '../../src/cluster/member-process.js';
import { portsOf } from '../../src/cluster/ports.js';
import { LastLines } from '../demo-support/last-lines.js';
import { LogMembers } from '../demo-support/log-members.js';
import type { Play } from '../demo-support/stage.js';
import type { Story } from '../demo-support/story.js';
import { until } from '../demo-support/until.js';
import { type Books, readBooks } from './books.js';
import { Fleet } from './fleet.js';
import { problemsOf } from './judge.js';
import { NAMES, type ProcessName, type ProcessPlan, planOf, startOrderOf, stopOrderOf } from './plan.js';
import { untilReady } from './ready.js';
import { ShopOrder } from './shop-order.js';
import { PARTICIPANTS, makeTokens, tokenIn } from './tokens.js';

/** How long the demo is. */
export interface DemoSettings {
  readonly leaseMs: number;
  /** How many orders each scene has. */
  readonly orders: number;
}

const HOST = '127.0.0.1';
const COORDINATORS = ['coordinator-1', 'coordinator-2'] as const;
/** There are so many of both that few orders wait for the same row. */
const CUSTOMERS = ['alice', 'bob', 'carol', 'erin', 'frank', 'grace'] as const;
const PRODUCTS = ['keyboard', 'monitor', 'usb-cable', 'mouse', 'headset', 'webcam'] as const;
/** A killed process is started again only after this time, so that customers meet the shop without it. */
const RESTART_AFTER_MS = 1_000;
/** How often a condition is checked. */
const LOOK_MS = 50;
/** How long everything may take after a fault until it is settled. */
const SETTLED_WITHIN_MS = 150_000;

/** A decided transaction whose payment has not been told. */
interface Held {
  readonly coordinator: MemberProcess;
  readonly transactionId: string;
}

/** The processes of the shop, and the faults that they go through. */
export class ServicesDemo implements Play {
  private readonly orders: ShopOrder[] = [];
  private readonly refused: ShopOrder[] = [];
  private plans!: Readonly<Record<ProcessName, ProcessPlan>>;
  private fleet!: Fleet;
  private log!: LogMembers;
  private scene = 0;
  private isOver = false;
  readonly lastLines = new LastLines();

  /**
   * @param databases their URLs, by the variables that name them.
   * @param folder for the tokens.
   */
  constructor(
    private readonly databases: Readonly<Record<string, string>>,
    private readonly folder: string,
    private readonly settings: DemoSettings,
    private readonly story: Story,
  ) {}

  /** Starts the processes. */
  async start(): Promise<void> {
    const tokens = join(this.folder, 'tokens');
    makeTokens(tokens);
    this.plans = planOf({
      host: HOST,
      ports: await portsOf(0, NAMES.length, HOST),
      databases: this.databases,
      tokens,
      coordinator: join(import.meta.dirname, 'held-coordinator.js'),
      coordinatorVariables: {
        LOG_LEVEL: 'info',
        DTC_LEASE_MS: String(this.settings.leaseMs),
        DTC_RECOVERY_INTERVAL_MS: '250',
        // Also on a slow machine only the faults of this demo may end a transaction.
        DTC_PREPARE_TIMEOUT_MS: '5000',
      },
    });
    const reports = { line: this.heard, say: (text: string): void => this.said(text) };
    this.fleet = new Fleet(startOrderOf(this.plans), stopOrderOf(this.plans), reports, RESTART_AFTER_MS);
    await this.fleet.start();
    await untilReady(
      COORDINATORS.map((name) => this.plans[name].url),
      tokenIn(tokens, 'gateway/caller'),
    );
    this.log = await LogMembers.open(this.databases['DECISION_LOG_URL']!);
    this.story.tell('All six processes run.');
  }

  /** @returns the problems that remain at the end, a sentence each. */
  async run(): Promise<string[]> {
    const failed = this.fleet.failed.then((reason) => {
      throw new Error(reason);
    });
    await Promise.race([this.play(), failed]);
    const problems = await this.check();
    this.isOver = true;
    await this.log.close();
    await this.fleet.stop();
    return problems;
  }

  private async play(): Promise<void> {
    await this.sellInPeace();
    await this.killPayment();
    await this.killCoordinator();
    await this.killUnderLoad();
  }

  /** Ends all processes at once. */
  kill(): void {
    this.fleet?.kill();
  }

  private get gateway(): string {
    return this.plans.gateway.url;
  }

  /** Orders that are placed, two that are refused, and some that are cancelled. */
  private async sellInPeace(): Promise<void> {
    const { story, gateway } = this;
    const since = performance.now();
    const orders = this.newOrders();
    this.refused.push(
      new ShopOrder('too-many-lamps', 'alice', [{ sku: 'last-lamp', quantity: 2 }]),
      new ShopOrder('too-little-money', 'dave', [{ sku: 'monitor', quantity: 1 }]),
    );
    // Each order is sent twice at the same time, as an impatient customer does.
    await Promise.all([...orders, ...orders].map((order) => this.confirm(order)));
    await Promise.all(this.refused.map((order) => order.place(gateway)));
    const cancelled = orders.slice(0, 2);
    await this.cancel(cancelled);
    story.tell(
      `${orders.length} orders are confirmed, ${this.refused.length} are refused, and ${cancelled.length} are cancelled.`,
    );
    // A coordinator adopts another one's epoch only when it has renewed its own lease for this long.
    await delay(Math.max(0, since + this.settings.leaseMs - performance.now()));
  }

  /** A service is killed when a transaction is decided and the service has not been told. */
  private async killPayment(): Promise<void> {
    const { story } = this;
    story.begin(
      'A service loses its power: payment is killed between the decision of an order and its own commit',
    );
    const former = this.orders.slice(2, 4);
    const orders = this.newOrders();
    const { transactionId } = await this.holdOneOf(orders);
    const killedAt = performance.now();
    await this.killProcess('payment');
    await this.requireTorn(transactionId);
    this.release();
    story.add('Its customers repeat their orders with the same keys. Two others cancel theirs.');
    await Promise.all([...orders.map((order) => this.confirm(order)), this.cancel(former)]);
    await this.tellSettled(killedAt);
  }

  /** A coordinator is killed when a transaction is decided, and only two services have been told. */
  private async killCoordinator(): Promise<void> {
    const { story } = this;
    story.begin(
      'A coordinator loses its power: it is killed between the decision of an order and its completion',
    );
    const orders = this.newOrders();
    const { transactionId, coordinator } = await this.holdOneOf(orders);
    const { name } = coordinator;
    const epoch = (await this.log.latest()).get(name)!.epoch;
    const killedAt = performance.now();
    await this.killProcess(name as ProcessName);
    await this.requireTorn(transactionId);
    this.release();
    story.add('The gateway goes to the other coordinator, with the same keys.');
    let taker: string | undefined;
    await Promise.all([
      ...orders.map((order) => this.confirm(order)),
      until(
        `a coordinator has taken over from ${name}`,
        async () => {
          taker = await this.log.takerOf(epoch);
          return taker !== undefined;
        },
        SETTLED_WITHIN_MS,
      ),
    ]);
    story.tell(`${taker} has taken over the orders of ${name}.`);
    await this.tellSettled(killedAt);
  }

  /** Two services are killed at any moment, while customers order and cancel. */
  private async killUnderLoad(): Promise<void> {
    const { story } = this;
    story.begin('Two services lose their power while customers order and cancel: inventory, and then order');
    const since = performance.now();
    for (const name of ['inventory', 'order'] as const) {
      const former = this.orders.filter(({ isCancelled }) => !isCancelled).slice(0, this.settings.orders / 2);
      const orders = this.newOrders();
      const first = Promise.race(orders.map((order) => order.place(this.gateway)));
      const all = Promise.all([this.cancel(former), ...orders.map((order) => this.confirm(order))]);
      await first;
      await this.killProcess(name);
      await all;
      story.tell(`${orders.length} more orders are confirmed, and ${former.length} are cancelled.`);
    }
    await this.tellSettled(since);
  }

  /** Asks once more for each order, and compares all answers with the databases. */
  private async check(): Promise<string[]> {
    const { story, orders, refused, gateway } = this;
    story.begin('The check: every order, every answer that a customer got, and every database');
    await Promise.all(NAMES.map((name) => this.fleet.runs(name)));
    await Promise.all(orders.map((order) => order.place(gateway)));
    const inDoubt = await this.untilNothingIsInDoubt();
    const books = await readBooks(this.databases);
    const all = [...orders, ...refused];
    const answers = all.reduce((sum, order) => sum + order.answers.length, 0);
    const lost = all.reduce((sum, order) => sum + order.lost, 0);
    const cancelled = books.orders.filter(({ cancelledBy }) => cancelledBy !== null).length;
    story.tell(`${all.length} orders, ${answers} answers, ${lost} requests without an answer.`);
    story.add(
      `The order service has ${books.orders.length} orders, ${cancelled} of them cancelled. ` +
        `The payment service has ${books.payments.length} payments.`,
    );
    story.add(`${books.prepared} branches are prepared, and ${inDoubt.length} are in doubt.`);
    const last = orders.filter(({ answers: own }) => own.at(-1)?.status !== 201);
    return [
      ...problemsOf(orders, refused, books),
      ...inDoubt.map((branch) => `The branch ${branch} is still in doubt.`),
      ...last.map(({ key }) => `The last repeat of ${key} was not answered with the order.`),
    ];
  }

  /** @returns the branches that are in doubt at the hosts, as the hosts list them. */
  private async untilNothingIsInDoubt(): Promise<string[]> {
    let branches: string[] = [];
    const end = performance.now() + SETTLED_WITHIN_MS;
    do {
      const lists = await Promise.all(PARTICIPANTS.map((name) => this.branchesAt(name)));
      branches = lists.flat();
      if (branches.length > 0) await delay(LOOK_MS);
    } while (branches.length > 0 && performance.now() < end);
    return branches;
  }

  private async branchesAt(name: (typeof PARTICIPANTS)[number]): Promise<string[]> {
    const token = tokenIn(join(this.folder, 'tokens'), `${name}/coordinator`);
    const response = await fetch(`${this.plans[name].url}/participants/branches/${name}`, {
      headers: { Authorization: `Bearer ${token}` },
    });
    if (!response.ok) throw new Error(`${name} does not say what is in doubt: ${response.status}.`);
    const { branches } = (await response.json()) as {
      readonly branches: readonly { readonly transactionId: string; readonly branchId: string }[];
    };
    return branches.map(({ transactionId, branchId }) => `${transactionId}/${branchId} of ${name}`);
  }

  private newOrders(): ShopOrder[] {
    const made = Array.from({ length: this.settings.orders }, (_, index) => {
      const number = this.orders.length + index;
      const lines = [
        { sku: PRODUCTS[number % PRODUCTS.length]!, quantity: 1 + (number % 2) },
        { sku: PRODUCTS[(number + 1) % PRODUCTS.length]!, quantity: 1 },
      ];
      return new ShopOrder(`order-${number + 1}`, CUSTOMERS[number % CUSTOMERS.length]!, lines);
    });
    this.orders.push(...made);
    return made;
  }

  private async confirm(order: ShopOrder): Promise<void> {
    await order.placeUntilConfirmed(this.gateway, AbortSignal.timeout(SETTLED_WITHIN_MS));
    if (order.isConfirmed) return;
    const { status, code, transactionId } = order.answers.at(-1) ?? {};
    const times = order.answers.filter((answer) => answer.transactionId === transactionId).length;
    throw new Error(
      `the order ${order.key} was not confirmed within ${SETTLED_WITHIN_MS / 1_000} s. ` +
        (status === undefined
          ? 'It was never answered.'
          : `The last answer was ${status} ${code ?? ''} of ${transactionId ?? 'no transaction'}, ${times} times.`),
    );
  }

  private async cancel(orders: readonly ShopOrder[]): Promise<void> {
    const signal = AbortSignal.timeout(SETTLED_WITHIN_MS);
    await Promise.all(orders.map((order) => order.cancelUntilCancelled(this.gateway, signal)));
    const missing = orders.find(({ isCancelled }) => !isCancelled);
    if (missing !== undefined)
      throw new Error(`the order ${missing.key} was not cancelled within ${SETTLED_WITHIN_MS / 1_000} s.`);
  }

  /** Sends orders until one is decided whose payment has not been told. Each order is sent once. */
  private async holdOneOf(orders: readonly ShopOrder[]): Promise<Held> {
    const scene = ++this.scene;
    const coordinators = await Promise.all(COORDINATORS.map((name) => this.fleet.runs(name)));
    const held = coordinators.map(async (coordinator) => {
      const said = await coordinator.next((message) => message['scene'] === scene);
      return { coordinator, transactionId: String(said['held']) };
    });
    for (const coordinator of coordinators) {
      const armed = coordinator.next((message) => message['armed'] === scene);
      coordinator.tell({ arm: scene });
      await armed;
    }
    for (const order of orders) void order.place(this.gateway);
    return Promise.race([
      ...held,
      delay(SETTLED_WITHIN_MS, undefined, { ref: false }).then(() => {
        throw new Error('no order was decided.');
      }),
    ]);
  }

  private release(): void {
    for (const name of COORDINATORS) this.fleet.find(name)?.tell({ release: true });
  }

  private async killProcess(name: ProcessName): Promise<void> {
    const process = await this.fleet.runs(name);
    process.signal('SIGKILL');
    await process.ended;
  }

  /** The order is there, and not paid. */
  private async requireTorn(transactionId: string): Promise<void> {
    const books = await readBooks(this.databases);
    const order = books.orders.find(({ placedBy }) => placedBy === transactionId);
    if (order === undefined || isPaid(order.orderId, books))
      throw new Error('nothing was killed in the middle of an order, so nothing was shown.');
    this.story.add(
      `One order is decided, and the databases do not agree: it is written down, and not paid. Prepared: ${books.prepared}.`,
    );
  }

  private async tellSettled(since: number): Promise<void> {
    await until(
      'no branch is prepared',
      async () => (await readBooks(this.databases)).prepared === 0,
      SETTLED_WITHIN_MS,
    );
    const seconds = ((performance.now() - since) / 1_000).toFixed(1);
    this.story.tell(`Everything is settled, and no branch is prepared, ${seconds} s after the fault.`);
  }

  /** Once the story has begun, the ends of processes are part of it. */
  private said(text: string): void {
    if (this.log !== undefined && !this.isOver) this.story.tell(text);
  }

  private readonly heard = (name: string, line: MemberLine): void => {
    const { fields, text } = line;
    this.lastLines.hear(name, line);
    const isStart = fields === undefined && text.includes('did not start');
    if (isStart || /adopted epoch/i.test(text)) this.story.add(`${name} says: ${text}`);
  };
}

function isPaid(orderId: string, { payments }: Books): boolean {
  return payments.some((payment) => payment.orderId === orderId);
}

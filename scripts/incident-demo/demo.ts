import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { MemberProcess } from '../../src/cluster/member-process.js';
import { Pace } from '../../src/demo/pace.js';
import { DEMO_CUSTOMERS, DEMO_PRODUCTS } from '../../src/demo/supplies.js';
import { freePort } from '../../src/postgres-server/free-port.js';
import {
  type Books,
  type ShopDatabases,
  databasesOf,
  euros,
  query,
  readBooks,
  readOrders,
} from '../demo-support/books.js';
import { CustomerOrder } from '../demo-support/customer-order.js';
import { LastLines } from '../demo-support/last-lines.js';
import { LogMembers } from '../demo-support/log-members.js';
import type { DemoEnvironment, Play } from '../demo-support/stage.js';
import type { Story } from '../demo-support/story.js';
import { until } from '../demo-support/until.js';
import { problemsOfIncident } from './judge.js';
import { Operator } from './operator.js';
import { Pictures } from './pictures.js';

/** How long the incident is. */
export interface IncidentSettings {
  /** How long the payment hangs: ten minutes of the story. */
  readonly outageMs: number;
  /** How long the traffic runs before and after it. */
  readonly calmMs: number;
  /**
   * The number of customers, and so the most orders that can stall: an open order holds the account of its
   * customer.
   */
  readonly stalled: number;
  readonly perSecond: number;
  readonly leaseMs: number;
}

const NAMES = ['coordinator-1', 'coordinator-2', 'coordinator-3'] as const;
const OUTAGE_MINUTES = 10;
/** When one coordinator dies, and when the operator acts, as shares of the outage. */
const DEATH_AT = 0.35;
const ACTION_AT = 0.6;
/** When the pictures are taken: early enough to be there before the outage ends. */
const PICTURES_AT = 0.75;
/** The share of the orders that must stall. With fewer the incident has shown nothing. */
const ENOUGH = 0.8;
const SETTLED_WITHIN_MS = 90_000;
const STOP_WITHIN_MS = 15_000;
const MAX_OPEN = 500;

/** Three coordinators of one shop, and their incident at three in the morning. */
export class IncidentDemo implements Play {
  /** Each failed attempt is a warning, so the warnings are shown only when the demo fails. */
  readonly lastLines = new LastLines();
  private readonly members: MemberProcess[] = [];
  private readonly operators = new Map<MemberProcess, Operator>();
  private readonly orders: CustomerOrder[] = [];
  private readonly pictures: Pictures;
  private readonly urls: ShopDatabases;
  private log!: LogMembers;
  private pace: Pace | undefined;
  /** When the payment began to hang, by the clock of this process. In the story it is three o'clock. */
  private threeOClock: number | undefined;

  /**
   * @param root the folder of the repository, in which the application is built.
   * @param wanted the folder of the pictures, and whether a picture that cannot be taken is a problem.
   */
  constructor(
    private readonly environment: DemoEnvironment,
    private readonly settings: IncidentSettings,
    private readonly story: Story,
    private readonly root: string,
    private readonly wanted: { readonly folder: string; readonly areNeeded: boolean },
  ) {
    this.pictures = new Pictures(wanted.folder);
    this.urls = databasesOf(environment);
  }

  async start(): Promise<void> {
    const memberTokens = randomBytes(24).toString('base64url');
    const [first, ...others] = NAMES;
    // The first coordinator creates the tables.
    this.members.push(await this.startMember(first, memberTokens));
    this.members.push(...(await Promise.all(others.map((name) => this.startMember(name, memberTokens)))));
    for (const member of this.members) this.operators.set(member, await Operator.at(member.url));
    this.log = await LogMembers.open(this.environment.DECISION_LOG_URL);
    await this.operatorOf(this.members[0]!).restock();
    const { outageMs } = this.settings;
    this.story.tell(`PostgreSQL runs, and ${NAMES.join(', ')} take orders.`);
    this.story.add(
      `${OUTAGE_MINUTES} minutes of the story are ${outageMs / 1_000} seconds here: its clock is ${factorOf(outageMs)} times as fast.`,
    );
  }

  /** @returns the problems that remain at the end, a sentence each. */
  async run(): Promise<string[]> {
    const before = await readBooks(this.urls);
    this.sell();
    await delay(this.settings.calmMs);
    await this.someAreConfirmed();
    await this.paymentHangs();
    const [dead, taker] = await this.oneDies();
    const heuristic = await this.oneIsEndedByHand(taker);
    await this.atTheHeight(taker, heuristic);
    await this.paymentRecovers(dead);
    await this.everythingEnds(heuristic);
    const problems = await this.check(taker, heuristic, before);
    await this.log.close();
    for (const member of this.running) await member.stop(STOP_WITHIN_MS);
    return problems;
  }

  kill(): void {
    this.pace?.stop();
    for (const member of this.members) member.signal('SIGKILL');
  }

  private get running(): MemberProcess[] {
    return this.members.filter(({ end }) => end === undefined);
  }

  private operatorOf(member: MemberProcess): Operator {
    return this.operators.get(member)!;
  }

  private async startMember(name: string, memberTokens: string): Promise<MemberProcess> {
    const port = await freePort();
    const environment = {
      ...process.env,
      ...this.environment,
      DEMO: 'true',
      DECISION_LOG: 'postgres',
      PORT: String(port),
      LOG_LEVEL: 'warn',
      MEMBER_TOKENS: memberTokens,
      DTC_NAME: 'shop',
      DTC_MEMBER_NAME: name,
      DTC_MEMBER_ADDRESS: `http://127.0.0.1:${port}`,
      DTC_LEASE_MS: String(this.settings.leaseMs),
      // As fast as the clock of the story.
      DTC_COMPLETION_TIMEOUT_MS: '500',
      DTC_COMPLETION_WAIT_MS: '800',
      DTC_MAX_ATTEMPTS: '2',
      DTC_RECOVERY_INTERVAL_MS: '1000',
      DTC_ORPHAN_SAFETY_MS: '2000',
    };
    const program = join(this.root, 'dist/main-member.js');
    return MemberProcess.start(name, program, environment, (line) => this.lastLines.hear(name, line));
  }

  /** Customers order at the coordinators that run, in turn. Each waits for its answer. */
  private sell(): void {
    const { perSecond, stalled } = this.settings;
    const customers = DEMO_CUSTOMERS.slice(0, stalled);
    const options = { perSecond, forMs: SETTLED_WITHIN_MS * 3, maxOpen: MAX_OPEN };
    this.pace = new Pace(options, async (index) => {
      const customer = customers[index % customers.length]!;
      const sku = DEMO_PRODUCTS[index % DEMO_PRODUCTS.length]!;
      const order = new CustomerOrder(`order-${index + 1}`, customer, sku);
      this.orders.push(order);
      const { running } = this;
      await order.send(running[index % running.length]!);
    });
    this.story.begin('A quiet night');
    this.story.tell(`Customers place ${perSecond} orders a second.`);
  }

  private async someAreConfirmed(): Promise<void> {
    const confirmed = (): number => this.orders.filter(({ isConfirmed }) => isConfirmed).length;
    await until('an order is confirmed', () => Promise.resolve(confirmed() > 0), SETTLED_WITHIN_MS);
    this.story.tell(`${confirmed()} orders are confirmed. Nothing is open for long.`);
  }

  private async paymentHangs(): Promise<void> {
    for (const member of this.running) await this.operatorOf(member).letPaymentHang();
    this.threeOClock = performance.now();
    this.story.begin('The payment hangs');
    this.tell('The payment takes the decision of an order, and does not answer. Orders go on.');
    await until('an order is stalled', async () => (await this.stalled()) > 0, SETTLED_WITHIN_MS);
    this.tell('The first order is stalled: commit is decided, and the payment has not answered twice.');
    this.story.add('Its customer was told 202: it will be done. No money is lost, and none is taken twice.');
  }

  /** @returns the coordinator that has died, and the one that has adopted its orders. */
  private async oneDies(): Promise<[MemberProcess, MemberProcess]> {
    await this.share(DEATH_AT);
    const dead = this.members[1]!;
    const { epoch } = (await this.log.latest()).get(dead.name)!;
    this.story.begin(`${dead.name} loses its power`);
    const open = await this.stalled();
    dead.signal('SIGKILL');
    await dead.ended;
    const diedAt = performance.now();
    this.tell(`${dead.name} is gone, with its memory. ${open} orders are stalled at the three of them.`);
    let taker: string | undefined;
    await until(
      `another coordinator has taken over from ${dead.name}`,
      async () => (taker = await this.log.takerOf(epoch)) !== undefined,
      SETTLED_WITHIN_MS,
    );
    const seconds = ((performance.now() - diedAt) / 1_000).toFixed(1);
    this.tell(`${taker} has adopted its orders, ${seconds} real seconds later.`);
    this.story.add('Customers order at the other two.');
    return [dead, this.running.find(({ name }) => name === taker)!];
  }

  /**
   * Rolls a branch back by hand, although commit is decided.
   *
   * @returns the transaction.
   */
  private async oneIsEndedByHand(at: MemberProcess): Promise<string> {
    await this.share(ACTION_AT);
    this.story.begin('An operator ends one order by hand');
    const operator = this.operatorOf(at);
    await until(
      'an order is stalled there',
      async () => (await operator.ownStalled()) > 0,
      SETTLED_WITHIN_MS,
    );
    const { transactionId, branchId } = await operator.oldestStalled();
    const gid = `${transactionId}/payment/${branchId}`;
    await query(this.urls.payment, `ROLLBACK PREPARED '${gid}'`);
    this.tell('A customer needs her account now. The operator rolls back her payment in the database:');
    this.story.add(`ROLLBACK PREPARED '${gid}'`);
    await operator.resolve(
      transactionId,
      branchId,
      'Rolled back in the database for the customer, ticket 4711.',
    );
    this.tell(
      `${operator.name} records that at ${at.name}. The order is placed and is not paid: a heuristic outcome.`,
    );
    this.story.add(
      'The coordinator says so, keeps the report, and stays degraded until someone has dealt with it.',
    );
    return transactionId;
  }

  private async atTheHeight(at: MemberProcess, heuristic: string): Promise<void> {
    await this.share(PICTURES_AT);
    this.story.begin('The height of the incident');
    this.tell(`${await this.stalled()} orders are stalled. The dashboard shows it at any coordinator:`);
    await this.photograph(at, [
      { name: 'incident-overview', hash: '#/' },
      { name: 'incident-stalled', hash: '#/transactions?show=stalled&order=oldest' },
      { name: 'incident-heuristic', hash: `#/transactions/${heuristic}` },
    ]);
    await this.share(1);
    const wanted = Math.floor(this.settings.stalled * ENOUGH);
    // A slow machine needs longer for as many orders.
    await until(
      `${wanted} orders are stalled`,
      async () => (await this.stalled()) >= wanted,
      SETTLED_WITHIN_MS,
    );
    this.tell(
      `${await this.stalled()} orders are stalled. ${this.refused} were refused, and changed nothing.`,
    );
    const [locked] = await query<{ accounts: number }>(
      this.urls.payment,
      'SELECT count(*)::int AS accounts FROM pg_prepared_xacts WHERE database = current_database()',
    );
    this.story.add(`${locked!.accounts} accounts are locked until their orders are complete.`);
  }

  private async paymentRecovers(dead: MemberProcess): Promise<void> {
    this.story.begin('The payment recovers');
    for (const member of this.running) await this.operatorOf(member).letPaymentWork();
    const recoveredAt = performance.now();
    this.tell('The payment answers again. Nothing else is done: the coordinators try again by themselves.');
    await until('no order is stalled', async () => (await this.stalled()) === 0, SETTLED_WITHIN_MS);
    const seconds = ((performance.now() - recoveredAt) / 1_000).toFixed(1);
    this.tell(`No order is stalled any more, ${seconds} real seconds later; those of ${dead.name} included.`);
    await delay(this.settings.calmMs);
  }

  /** Ends the traffic. Customers without a final answer ask again, with their keys. */
  private async everythingEnds(heuristic: string): Promise<void> {
    const pace = this.pace!;
    pace.stop();
    await pace.ended;
    const waiting = this.orders.filter((order) => !order.isConfirmed && !isRefused(order));
    this.tell(`The traffic ends. ${waiting.length} customers ask once more what became of their orders.`);
    for (const order of waiting) await order.send(this.running[1]!);
    const limit = AbortSignal.timeout(SETTLED_WITHIN_MS);
    const open = waiting.filter(
      (order) => !order.isConfirmed && !isRefused(order) && order.answers.at(-1)?.transactionId !== heuristic,
    );
    await Promise.all(open.map((order) => order.askUntilConfirmed(this.running, limit)));
    await until(
      'no branch is prepared',
      async () => (await readBooks(this.urls)).prepared === 0,
      SETTLED_WITHIN_MS,
    );
    this.tell('No branch is prepared any more.');
  }

  private async check(at: MemberProcess, heuristic: string, before: Books): Promise<string[]> {
    const { story, orders } = this;
    story.begin('The check: every order, and every answer that a customer got');
    const after = await readBooks(this.urls);
    const placed = await readOrders(this.urls);
    const confirmed = orders.filter(({ isConfirmed }) => isConfirmed).length;
    this.tell(
      `${orders.length} orders: ${placed.length} are placed, and ${orders.length - placed.length} left no trace.`,
    );
    story.add(`${confirmed} customers have a confirmation.`);
    story.add(
      `The orders come to ${euros(after.ordered - before.ordered)}; the customers have paid ${euros(after.paid - before.paid)}.`,
    );
    const odd = placed.find(({ transactionId }) => transactionId === heuristic);
    story.add(`The difference is the order that was ended by hand: ${euros(odd?.cents ?? 0)}.`);
    const problems = problemsOfIncident(orders, placed, heuristic, { before, after });
    const operator = this.operatorOf(at);
    const shown = await operator.find(heuristic);
    story.add(
      `${at.name} shows it: decision ${shown.decision}, payment ${shown.report}, and by whom in the audit trail.`,
    );
    if (shown.decision !== 'commit' || shown.report !== 'rollback') {
      problems.push(`The transaction ${heuristic} is not shown as a heuristic rollback of a commit.`);
    }
    if (!(await operator.isInAudit(heuristic)))
      problems.push('The audit trail does not have the action of the operator.');
    await this.photograph(at, [{ name: 'incident-after', hash: '#/' }]);
    if (this.wanted.areNeeded)
      problems.push(...this.pictures.missing.map((name) => `The picture ${name} was not taken.`));
    return problems;
  }

  private get refused(): number {
    return this.orders.filter(isRefused).length;
  }

  /** @returns how many orders are stalled, at the coordinators that run. */
  private async stalled(): Promise<number> {
    const counts = await Promise.all(this.running.map((member) => this.operatorOf(member).ownStalled()));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  private async photograph(at: MemberProcess, shots: Parameters<Pictures['take']>[1]): Promise<void> {
    const { token } = this.operatorOf(at);
    for (const sentence of await this.pictures.take({ origin: at.url, token }, shots))
      this.story.add(sentence);
  }

  /** Waits for a moment of the outage, as a share of it. */
  private async share(share: number): Promise<void> {
    await delay(Math.max(0, this.threeOClock! + share * this.settings.outageMs - performance.now()));
  }

  /** Prints an event, with the clock of the story. */
  private tell(text: string): void {
    const minutes = ((performance.now() - this.threeOClock!) / this.settings.outageMs) * OUTAGE_MINUTES;
    const whole = Math.floor(minutes);
    const seconds = Math.floor((minutes - whole) * 60);
    this.story.tell(`03:${String(whole).padStart(2, '0')}:${String(seconds).padStart(2, '0')}  ${text}`);
  }
}

/** Whether the last answer says that nothing was done. */
function isRefused({ answers, isConfirmed }: CustomerOrder): boolean {
  const last = answers.at(-1);
  return !isConfirmed && (last?.status === 409 || last?.status === 503);
}

function factorOf(outageMs: number): number {
  return Math.round((OUTAGE_MINUTES * 60_000) / outageMs);
}

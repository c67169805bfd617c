import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type MemberLine, MemberProcess } from '../../src/cluster/member-process.js';
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
import { LogMembers } from '../demo-support/log-members.js';
import type { DemoEnvironment, Play } from '../demo-support/stage.js';
import type { Story } from '../demo-support/story.js';
import { until } from '../demo-support/until.js';

/** How long the demo is. */
export interface DemoSettings {
  readonly leaseMs: number;
  /** How many orders each member gets in each scene. */
  readonly ordersPerMember: number;
}

const NAMES = ['member-1', 'member-2', 'member-3'] as const;
/** How long a customer waits for an answer before it asks another member. */
const PATIENCE_MS = 1_000;
/** How much longer than its lease a member stands still. */
const MORE_THAN_LEASE_MS = 1_000;
/** How long everything may take after a fault until it is settled. */
const SETTLED_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 10_000;

/**
 * The members that fail sell other products than the other members, so that their locks do not delay those.
 */
const OF_FAILING = { customer: 'alice', sku: 'keyboard' };
const OF_OTHERS = { customer: 'bob', sku: 'usb-cable' };

/** Three members of one shop, and the faults that they go through. */
export class FailoverDemo implements Play {
  readonly lastLines = new LastLines();
  private readonly members: MemberProcess[] = [];
  private readonly orders: CustomerOrder[] = [];
  /** Requests that have no answer yet: those to a stopped member. */
  private readonly late: Promise<unknown>[] = [];
  private log!: LogMembers;
  private readonly urls: ShopDatabases;
  private steadyAt = 0;

  constructor(
    private readonly environment: DemoEnvironment,
    private readonly settings: DemoSettings,
    private readonly story: Story,
  ) {
    this.urls = databasesOf(environment);
  }

  /** Starts the members. */
  async start(): Promise<void> {
    const [first, ...others] = NAMES;
    // The first member creates the tables.
    this.members.push(await this.startMember(first));
    this.members.push(...(await Promise.all(others.map((name) => this.startMember(name)))));
    this.log = await LogMembers.open(this.environment.DECISION_LOG_URL);
    this.steadyAt = performance.now() + this.settings.leaseMs + MORE_THAN_LEASE_MS;
    this.story.tell(`PostgreSQL runs, and ${NAMES.join(', ')} take orders.`);
  }

  /** @returns the problems that remain at the end, a sentence each. */
  async run(): Promise<string[]> {
    await this.sellInPeace();
    await this.killOne();
    await this.stopOne();
    const problems = await this.check();
    await this.log.close();
    for (const member of this.running) await member.stop(STOP_WITHIN_MS);
    return problems;
  }

  /** Ends all members at once. */
  kill(): void {
    for (const member of this.members) member.signal('SIGKILL');
  }

  private get running(): MemberProcess[] {
    return this.members.filter(({ end }) => end === undefined);
  }

  private startMember(name: string): Promise<MemberProcess> {
    const environment = {
      ...process.env,
      ...this.environment,
      DECISION_LOG: 'postgres',
      PORT: '0',
      LOG_LEVEL: 'info',
      DTC_NAME: 'shop',
      DTC_MEMBER_NAME: name,
      DTC_LEASE_MS: String(this.settings.leaseMs),
      DTC_RECOVERY_INTERVAL_MS: '250',
    };
    const program = join(import.meta.dirname, '../demo-support/member.js');
    return MemberProcess.start(name, program, environment, (line) => this.heard(name, line));
  }

  private async sellInPeace(): Promise<void> {
    const { story } = this;
    const orders = this.members.map((member) => ({ member, orders: this.newOrders(OF_OTHERS) }));
    const limit = AbortSignal.timeout(SETTLED_WITHIN_MS);
    await Promise.all(
      orders.flatMap(({ member, orders: own }) =>
        own.map((order) => order.askUntilConfirmed([member], limit)),
      ),
    );
    this.requireConfirmed(orders.flatMap(({ orders: own }) => own));
    story.tell(`${this.settings.ordersPerMember} orders at each member are confirmed.`);
    await delay(Math.max(0, this.steadyAt - performance.now()));
  }

  /** A member is killed when a transaction is decided, and only some of its participants have been told. */
  private async killOne(): Promise<void> {
    const { story } = this;
    const [victim, ...others] = this.members as [MemberProcess, ...MemberProcess[]];
    story.begin(`A member loses its power: ${victim.name} is killed between a decision and its completion`);
    const { epoch } = await this.epochOf(victim);
    victim.tell({ arm: 'kill' });
    await victim.next((message) => message['armed'] === true);
    const orphans = this.newOrders(OF_FAILING);
    const gone = new AbortController();
    // It may refuse an order first, when it has just renewed its lease late.
    const asked = orphans.map((order) => order.askUntilConfirmed([victim], gone.signal));
    const { signal } = await within(SETTLED_WITHIN_MS, victim.ended, `${victim.name} was not killed`);
    const killedAt = performance.now();
    gone.abort();
    if (signal !== 'SIGKILL') throw new Error(`${victim.name} ended by itself, before it could be killed.`);
    // No other order is under way, so what is torn is the order of the victim.
    const books = await readBooks(this.urls);
    const takenBy = await this.log.takerOf(epoch);
    const rest = this.placeAt(others);
    await Promise.all(asked);
    const unanswered = orphans.filter(({ answers }) => answers.length === 0);
    story.tell(
      `${victim.name} is gone. It had decided an order, and two of the three databases have its changes.`,
    );
    this.requireTorn(books, takenBy);
    story.add(
      `${unanswered.length} customers of ${victim.name} have no answer. They ask the others, with the same keys.`,
    );
    story.add(`Meanwhile ${others.map(({ name }) => name).join(' and ')} confirm their own orders.`);
    const limit = AbortSignal.timeout(SETTLED_WITHIN_MS);
    const again = Promise.all(orphans.map((order) => order.askUntilConfirmed(others, limit)));
    await this.tellTakeover(victim, epoch, killedAt, 'it was killed');
    await Promise.all([again, rest]);
    this.requireConfirmed(orphans);
    story.tell(`All customers of ${victim.name} have their answer: each order is confirmed.`);
    await this.tellSettled(killedAt, 'the kill');
  }

  /**
   * A member is stopped between a decision and its completion, for longer than its lease. Then it goes on.
   */
  private async stopOne(): Promise<void> {
    const { story, settings } = this;
    const [stopped, other] = this.running as [MemberProcess, MemberProcess];
    const stillMs = settings.leaseMs + MORE_THAN_LEASE_MS;
    story.begin(`A member stands still: ${stopped.name} is stopped by SIGSTOP for longer than its lease`);
    const { epoch } = await this.epochOf(stopped);
    stopped.tell({ arm: 'hold' });
    await stopped.next((message) => message['armed'] === true);
    const holding = stopped.next((message) => 'held' in message);
    const orphans = this.newOrders(OF_FAILING);
    const held = new AbortController();
    this.late.push(...orphans.map((order) => order.askUntilConfirmed([stopped], held.signal)));
    await within(SETTLED_WITHIN_MS, holding, `${stopped.name} has decided no order`);
    held.abort();
    stopped.signal('SIGSTOP');
    const stoppedAt = performance.now();
    story.tell(`${stopped.name} stands still, in the middle of an order. It does not know it.`);
    const rest = this.placeAt([other]);
    await delay(PATIENCE_MS);
    story.add(
      `Its customers wait for ${PATIENCE_MS / 1_000} s. Then they ask ${other.name}, with the same keys.`,
    );
    const limit = AbortSignal.timeout(SETTLED_WITHIN_MS);
    const again = Promise.all(orphans.map((order) => order.askUntilConfirmed([other], limit)));
    await this.tellTakeover(stopped, epoch, stoppedAt, 'it was stopped');
    await Promise.all([again, rest]);
    this.requireConfirmed(orphans);
    story.tell(`All customers of ${stopped.name} have their answer: each order is confirmed.`);
    await delay(Math.max(0, stoppedAt + stillMs - performance.now()));
    await this.goOn(stopped, epoch);
    await this.tellSettled(stoppedAt, 'the stop');
  }

  /** The stopped member goes on. It learns that another one has taken over, and returns with a new epoch. */
  private async goOn(member: MemberProcess, former: number): Promise<void> {
    const { story } = this;
    member.signal('SIGCONT');
    member.tell({ release: true });
    const continuedAt = performance.now();
    story.tell(`${member.name} goes on. It answers the requests that it had when it was stopped.`);
    await within(SETTLED_WITHIN_MS, Promise.all(this.late), `${member.name} has not answered all of them`);
    await until(
      `${member.name} has a new epoch`,
      async () => (await this.epochOf(member)).epoch > former,
      SETTLED_WITHIN_MS,
    );
    const { epoch } = await this.epochOf(member);
    story.tell(
      `${member.name} has found out that it was taken over, and works again as epoch ${epoch}, ` +
        `${seconds(continuedAt)} after it went on.`,
    );
    await this.placeAt([member]);
    story.tell(`${member.name} confirms new orders.`);
  }

  /** Asks once more for each order, at every running member, and compares all answers with the databases. */
  private async check(): Promise<string[]> {
    const { story, orders } = this;
    story.begin('The check: every order, and every answer that a customer got');
    const limit = AbortSignal.timeout(SETTLED_WITHIN_MS);
    for (const member of this.running)
      await Promise.all(orders.map((order) => order.askUntilConfirmedBy(member, limit)));
    const answers = orders.flatMap((order) => order.answers);
    const lost = orders.reduce((sum, order) => sum + order.lost, 0);
    const books = await readBooks(this.urls);
    story.tell(`${orders.length} orders, ${answers.length} answers, ${lost} requests without an answer.`);
    story.add(`The orders come to ${euros(books.ordered)}; the customers have paid ${euros(books.paid)}.`);
    story.add(
      `${books.sold} pieces are sold; ${books.taken} have left the stock. ${books.prepared} branches are open.`,
    );
    const problems = problemsOf(orders, await readOrders(this.urls), books);
    for (const { key, answers: own } of orders) {
      const last = this.running.map(({ name }) => own.findLast(({ member }) => member === name)?.status);
      if (last.some((status) => status !== 201))
        problems.push(`Not every member knows the order ${key}: ${last.join()}`);
    }
    return problems;
  }

  private newOrders({ customer, sku }: typeof OF_OTHERS): CustomerOrder[] {
    const made = Array.from({ length: this.settings.ordersPerMember }, (_, index) => {
      return new CustomerOrder(`order-${this.orders.length + index + 1}`, customer, sku);
    });
    this.orders.push(...made);
    return made;
  }

  /** Places new orders at some members, and waits until they are confirmed. */
  private async placeAt(members: readonly MemberProcess[]): Promise<void> {
    const limit = AbortSignal.timeout(SETTLED_WITHIN_MS);
    const placed = members.map((member) => ({ member, orders: this.newOrders(OF_OTHERS) }));
    await Promise.all(
      placed.flatMap(({ member, orders }) => orders.map((order) => order.askUntilConfirmed([member], limit))),
    );
    this.requireConfirmed(placed.flatMap(({ orders }) => orders));
  }

  private requireConfirmed(orders: readonly CustomerOrder[]): void {
    const missing = orders.filter(({ isConfirmed }) => !isConfirmed);
    if (missing.length === 0) return;
    const [{ key, answers }] = missing as [CustomerOrder];
    const last = answers.at(-1);
    throw new Error(
      `${missing.length} orders were not confirmed within ${SETTLED_WITHIN_MS / 1_000} s. The last answer to ${key} was ` +
        `${last === undefined ? 'none' : `${last.status} ${last.code ?? ''} of ${last.member}`}.`,
    );
  }

  /**
   * @param takenBy the member that had taken over when the books were read, on a machine where that took
   * longer than a lease.
   */
  private requireTorn(books: Books, takenBy: string | undefined): void {
    if (!areWhole(books)) {
      this.story.add(
        `The databases do not agree now: orders of ${euros(books.ordered)}, and ${euros(books.paid)} paid. ` +
          `Prepared and waiting: ${books.prepared}.`,
      );
      return;
    }
    if (takenBy === undefined)
      throw new Error('the member was not killed in the middle of an order, so nothing was shown.');
    this.story.add(`The machine is so slow that ${takenBy} had taken over before anyone could look.`);
  }

  private async tellTakeover(of: MemberProcess, epoch: number, since: number, event: string): Promise<void> {
    let taker: string | undefined;
    await until(
      `another member has taken over from ${of.name}`,
      async () => {
        taker = await this.log.takerOf(epoch);
        return taker !== undefined;
      },
      SETTLED_WITHIN_MS,
    );
    this.story.tell(
      `${taker} has taken over from ${of.name} (epoch ${epoch}), ${seconds(since)} after ${event}.`,
    );
  }

  private async tellSettled(since: number, event: string): Promise<void> {
    // An order that was asked for twice may still be under way, and no two databases are read at the same
    // moment.
    await until(
      `the databases agree after ${event}, and no branch is prepared`,
      async () => areWhole(await readBooks(this.urls)),
      SETTLED_WITHIN_MS,
    );
    this.story.tell(`Everything is settled, ${seconds(since)} after ${event}: the databases agree.`);
  }

  private async epochOf({ name }: MemberProcess): Promise<{ readonly epoch: number }> {
    const latest = (await this.log.latest()).get(name);
    if (latest === undefined) throw new Error(`the decision log does not know ${name}.`);
    return latest;
  }

  /** The messages of members about each other are part of the story. */
  private heard(name: string, line: MemberLine): void {
    const { fields, text } = line;
    this.lastLines.hear(name, line);
    const isOfMembers = /adopted epoch|was fenced|new epoch/i.test(text);
    const isStart = fields === undefined && text.startsWith('The application did not start');
    if (isOfMembers || isStart) this.story.add(`${name} says: ${text}`);
  }
}

async function within<T>(ms: number, work: Promise<T>, problem: string): Promise<T> {
  const controller = new AbortController();
  const late = delay(ms, undefined, { signal: controller.signal, ref: false }).then(() => {
    throw new Error(`${problem} within ${ms / 1_000} s.`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([work, late]);
  } finally {
    controller.abort();
  }
}

function seconds(since: number): string {
  return `${((performance.now() - since) / 1_000).toFixed(1)} s`;
}

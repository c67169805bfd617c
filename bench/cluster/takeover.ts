import { setTimeout as pause } from 'node:timers/promises';
import { idPrefixOf } from '../../src/coordinator/index.js';
import { Books } from '../../test/cluster/books.js';
import { judge } from '../../test/cluster/judge.js';
import type { Asked } from '../../test/cluster/callers.js';
import { MemberProcess } from '../../test/cluster/member-process.js';
import { COORDINATOR, PARTICIPANTS, type Settings as MemberSettings } from '../../test/cluster/messages.js';
import type { PostgresServer, TestDatabase } from '../../test/support/postgres/server.js';
import { Client } from 'pg';
import { seededRandom } from '../framework/statistics.js';

/** With this number of rows, transactions seldom meet those of a dead member. */
const ROWS = 20_000;
/** Transactions in flight at each member. */
const IN_FLIGHT = 8;
const POLL_MS = 20;
/** How long a refused caller waits before its next request. */
const REFUSED_MS = 20;
/** If there is no adoption after this number of leases, there will be none. */
const MOST_LEASES = 10;

/** How long and how often takeovers are measured. */
export interface TakeoverSettings {
  readonly leaseMs: number;
  readonly takeovers: number;
  /** How long transactions run before the first measurement. */
  readonly compileMs: number;
  /** For how long the transactions of the survivors are counted. */
  readonly windowMs: number;
}

/** The result of one takeover. */
export interface Takeover {
  /**
   * The time from the kill until every transaction of the dead member had its outcome at every participant.
   */
  readonly tookMs: number;
  /** Transactions that the survivors committed in a second, counted from the kill. */
  readonly survivorsTps: number;
  /**
   * The rate of the same two members before the third was started, and after all its transactions were
   * settled.
   */
  readonly twoMembersTps: number;
}

/**
 * @throws Error when an outcome differs from the answer to its caller, or the books do not balance: the
 * figures would mean nothing.
 */
export async function measureTakeovers(
  server: PostgresServer,
  seed: number,
  settings: TakeoverSettings,
): Promise<Takeover[]> {
  const fleet = await Fleet.open(server, seed, settings.leaseMs);
  try {
    const survivors = [await fleet.start(), await fleet.start()];
    await pause(settings.compileMs);
    const takeovers: Takeover[] = [];
    let before = await fleet.rateOf(survivors, settings.windowMs);
    for (let number = 0; number < settings.takeovers; number++) {
      const victim = await fleet.start();
      // By then every member has renewed its lease for one full lease, and the code of the new member is
      // compiled.
      await pause(Math.max(1.5 * settings.leaseMs, settings.compileMs) + fleet.random() * 500);
      const [tookMs, survivorsTps] = await Promise.all([
        fleet.killed(victim),
        fleet.rateOf(survivors, settings.windowMs),
      ]);
      const after = await fleet.rateOf(survivors, settings.windowMs);
      takeovers.push({ tookMs, survivorsTps, twoMembersTps: (before + after) / 2 });
      before = after;
    }
    await fleet.stopCallers();
    await fleet.check();
    return takeovers;
  } finally {
    await fleet.close();
  }
}

/** Members over one log, each with callers, and the answers that the callers got. */
class Fleet {
  readonly random: () => number;
  private readonly asked: Asked[] = [];
  private readonly byKey = new Map<string, Asked>();
  private readonly members: MemberProcess[] = [];
  private readonly lanes: Promise<void>[] = [];
  private readonly committed = new Map<MemberProcess, number>();
  private isStopping = false;

  private constructor(
    private readonly books: Books,
    private readonly log: TestDatabase,
    private readonly watcher: Client,
    private readonly leaseMs: number,
    seed: number,
  ) {
    this.random = seededRandom(seed);
  }

  static async open(server: PostgresServer, seed: number, leaseMs: number): Promise<Fleet> {
    const log = await server.createDatabase();
    const watcher = new Client(log.url);
    await watcher.connect();
    return new Fleet(await Books.open(server, ROWS), log, watcher, leaseMs, seed);
  }

  /** Starts a member, and its callers. */
  async start(): Promise<MemberProcess> {
    const urls = PARTICIPANTS.map((name) => [name, this.books.databases[name].url]);
    const member = MemberProcess.start(
      {
        run: `member ${this.members.length + 1}`,
        logUrl: this.log.url,
        urls: Object.fromEntries(urls) as MemberSettings['urls'],
        leaseMs: this.leaseMs,
      },
      (key, id) => this.byKey.get(key)?.ids.add(id),
    );
    if (!(await member.up())) throw new Error(`a member was not started: ${member.output}`);
    this.members.push(member);
    this.committed.set(member, 0);
    for (let lane = 0; lane < IN_FLIGHT; lane++) this.lanes.push(this.callsOf(member));
    return member;
  }

  /** @returns transactions committed a second by some members together, from now on. */
  async rateOf(members: readonly MemberProcess[], windowMs: number): Promise<number> {
    const count = (): number => members.reduce((sum, member) => sum + this.committed.get(member)!, 0);
    const [countBefore, startedAt] = [count(), performance.now()];
    await pause(windowMs);
    return ((count() - countBefore) / (performance.now() - startedAt)) * 1_000;
  }

  /**
   * Kills a member.
   *
   * @returns the milliseconds until it was fenced, none of its branches was prepared, and all its decisions
   * were delivered.
   */
  async killed(member: MemberProcess): Promise<number> {
    const { epoch } = (await member.standing())!;
    const { rows } = await this.watcher.query<{ log_id: string }>('SELECT log_id FROM dtc_log.logs');
    const prefix = idPrefixOf({ name: COORDINATOR, logId: rows[0]!.log_id, epoch });
    member.signal('SIGKILL');
    const killedAt = performance.now();
    let openAt = killedAt;
    for (;;) {
      const askedAt = performance.now();
      const { isOpen, isSettled } = await this.stateOf(epoch, prefix);
      if (isSettled) return openAt - killedAt;
      // It was open at this question, and may have stayed open until just before the next one.
      if (isOpen) openAt = askedAt + POLL_MS;
      if (askedAt - killedAt > MOST_LEASES * this.leaseMs)
        throw new Error(`epoch ${epoch} of a killed member is not settled after ${MOST_LEASES} leases`);
      await pause(POLL_MS);
    }
  }

  async stopCallers(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.lanes);
  }

  /** @throws Error when an outcome differs from the answer to its caller, or the books do not balance. */
  async check(): Promise<void> {
    const wrong = await this.books.faults();
    const markers = await this.books.markers(this.asked.map(({ order }) => order.key));
    for (const asked of this.asked) {
      const ids = PARTICIPANTS.map((_, index) => markers[index]!.get(asked.order.key) ?? []);
      wrong.push(...judge(asked, { ids }));
    }
    wrong.push(...(await this.books.prepared()).map((gid) => `${gid} is prepared`));
    if (wrong.length > 0) throw new Error(`The cluster: ${wrong.slice(0, 10).join('\n')}`);
  }

  async close(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.members.map((member) => member.kill()));
    await this.watcher.end();
  }

  private async stateOf(epoch: number, prefix: string): Promise<{ isOpen: boolean; isSettled: boolean }> {
    const { rows } = await this.watcher.query<{ open: boolean; settled: boolean }>(
      `SELECT settled, fenced_by IS NULL
         OR EXISTS (SELECT FROM pg_prepared_xacts WHERE starts_with(gid, $2))
         OR EXISTS (SELECT FROM dtc_log.decisions WHERE epoch = $1) AS open
       FROM dtc_log.epochs WHERE epoch = $1`,
      [epoch, prefix],
    );
    return { isOpen: rows[0]!.open, isSettled: rows[0]!.settled };
  }

  private async callsOf(member: MemberProcess): Promise<void> {
    while (!this.isStopping && !member.isOver) {
      const asked: Asked = {
        order: {
          key: `order-${this.asked.length}`,
          manner: 'plain',
          way: 'at once',
          item: Math.floor(this.random() * ROWS),
          account: Math.floor(this.random() * ROWS),
          quantity: 1,
        },
        of: member.name,
        ids: new Set(),
        answer: undefined,
        others: [],
        inquired: [],
        known: new Map(),
        lastKnown: 'nothing',
      };
      this.asked.push(asked);
      this.byKey.set(asked.order.key, asked);
      asked.answer = await member.order(asked.order);
      if ('refused' in asked.answer) await pause(REFUSED_MS);
      else if ('told' in asked.answer && asked.answer.told.status === 'committed')
        this.committed.set(member, this.committed.get(member)! + 1);
    }
  }
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Random } from '../simulation/random.js';
import { PostgresServer } from '../support/postgres/server.js';
import type { CrashOrder } from './application/crash-points.js';
import { Books, accountOf, openRecords } from './books.js';
import type { Manner, Settings, Transfer } from './messages.js';
import { type Answer, type Run as Application, PATIENCE_MS, Run } from './run.js';

/** How a transfer was asked for, and what its caller was told. */
interface Asked {
  readonly transfer: Transfer;
  answer: Answer;
}

/**
 * A bank whose application is killed again and again. It asks for transfers, writes down what it was told,
 * starts the application anew until all has come to rest, and then holds what was told against the books.
 */
export class BankUnderFire {
  private readonly folder = mkdtempSync(join(tmpdir(), 'bank-'));
  private asked: Asked[] = [];
  private transfers = 0;
  private runs = 0;
  private current: Application | undefined;
  /** How many transfers were held against the books, by what their callers were told. */
  readonly counts = { committed: 0, aborted: 0, pending: 0, heuristic: 0, refused: 0, nothing: 0 };
  /** The settings of the next runs, besides their own. */
  settings: Partial<Settings> = {};

  private constructor(
    readonly server: PostgresServer,
    readonly books: Books,
    private readonly random: Random,
  ) {}

  static async open(random: Random): Promise<BankUnderFire> {
    const server = await PostgresServer.start();
    return new BankUnderFire(server, await Books.open(server), random);
  }

  async close(): Promise<void> {
    await this.end();
    await this.server.stop();
    await this.books.stock?.server.stop();
    rmSync(this.folder, { recursive: true });
  }

  get logPath(): string {
    return this.settings.logPath ?? this.folder;
  }

  /** Starts the application anew; it may be killed before it is up. */
  start(order?: CrashOrder, tracer?: readonly string[]): Application {
    const [payers, payees, house] = this.books.databases;
    this.current = Run.start(
      {
        logPath: this.folder,
        databases: [payers.url, payees.url, house.url],
        stock: this.books.stock?.database.url,
        run: `run ${++this.runs}`,
        ...this.settings,
      },
      order,
      tracer,
    );
    return this.current;
  }

  /** Kills the application where there is one. */
  async end(): Promise<void> {
    await this.current?.kill();
  }

  /** @returns the application that is up, started when there is none. */
  async running(): Promise<Application> {
    const run = this.current;
    return run === undefined || run.isOver ? this.start().up() : run;
  }

  /** Asks for a transfer, and writes down what is told. */
  transfer(run: Application, manner: Manner = 'plain', bulk = 0): Promise<Answer> {
    return this.transferAll(run, [manner], bulk)[0]!;
  }

  /** Asks for several transfers at once, and writes down what is told of each. */
  transferAll(run: Application, manners: readonly Manner[], bulk = 0): Promise<Answer>[] {
    const asked = manners.map((manner): Asked => ({
      transfer: this.make(manner, bulk),
      answer: { nothing: true },
    }));
    this.asked.push(...asked);
    return run.transfers(asked.map(({ transfer }) => transfer)).map(async (answering, index) => {
      const answer = await answering;
      asked[index]!.answer = answer;
      return answer;
    });
  }

  private make(manner: Manner, bulk: number): Transfer {
    const number = ++this.transfers;
    return {
      key: `transfer-${number}`,
      // The accounts take turns: a transfer that waits for a lock would show nothing about crashes.
      from: accountOf(number),
      to: accountOf(number + 7),
      amount: this.random.whole(2, 9),
      manner,
      bulk,
    };
  }

  /**
   * Lets the application, or a new one, bring everything to its end, and compares the result with the
   * answers.
   *
   * @returns the contradictions. Only an empty list is correct.
   */
  async reckon(): Promise<string[]> {
    const run = await this.running();
    run.arm(undefined);
    const wrong = await this.rest(run);
    const total = await this.books.total();
    if (total !== this.books.money) wrong.push(`there is ${total} in the banks and not ${this.books.money}`);
    const pieces = (await this.books.stock?.missing()) ?? 0;
    if (pieces !== 0) wrong.push(`${pieces} pieces of the stock are missing`);
    for (const gid of await this.books.touched())
      wrong.push(`${gid} is not prepared any more, and was foreign`);
    const asked = this.asked;
    this.asked = [];
    const markers = await this.books.markers(asked.map(({ transfer }) => transfer.key));
    const messaging: string[] = [];
    for (const { transfer, answer } of asked) {
      // The stock, which is the fourth, takes part in no group.
      const all = transfer.manner === 'grouped' ? markers.slice(0, 3) : markers;
      const ids = all.map((ofOne) => ofOne.get(transfer.key));
      wrong.push(...judge(transfer, answer, ids));
      if (ids[0] !== undefined && transfer.manner.endsWith('messaging')) messaging.push(transfer.key);
      this.counts['told' in answer ? answer.told.status : 'refused' in answer ? 'refused' : 'nothing']++;
    }
    const keys = asked.map(({ transfer }) => transfer.key);
    if (this.settings.sendsMessages === true) wrong.push(...(await this.judgeMessages(keys, messaging)));
    return wrong;
  }

  /**
   * Each message of a committed transfer is received, in the order of its key, and no other one.
   *
   * @param keys of all transfers. @param committed of those that have committed and write a message.
   */
  private async judgeMessages(keys: readonly string[], committed: readonly string[]): Promise<string[]> {
    const end = performance.now() + PATIENCE_MS;
    let { received, waiting } = await this.books.messages(keys);
    while (waiting > 0 && performance.now() < end) ({ received, waiting } = await this.books.messages(keys));
    const written = await this.books.written(keys);
    if (waiting === 0 && String(received) === String(written) && written.length === committed.length)
      return [];
    return [`messages: ${JSON.stringify({ received, written, committed, waiting })}`];
  }

  /** @returns in how many databases of the banks each of these transactions has left its marker. */
  committed(ids: readonly string[]): Promise<number[]> {
    return this.books.markersOf(ids);
  }

  /**
   * Waits until nothing is open: in the application, in the databases, in the log, or on its way in a
   * session.
   */
  private async rest(run: Application): Promise<string[]> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const condition = await run.settle();
      if (condition === undefined) return [`the application ended by itself: ${run.distress}`];
      const { prepared, sessions } = await this.books.unfinished(run.name);
      const records = openRecords(this.logPath);
      const open = condition.inFlight + condition.stalled + condition.heuristic;
      if (open + prepared.length + sessions + records.length === 0) return [];
      if (performance.now() > end) {
        const state = { condition, prepared, sessions, records };
        return [`it does not come to rest: ${JSON.stringify(state)} ${run.distress}`];
      }
    }
  }
}

/** @param ids of the transaction in each database where it has left its marker. */
function judge(transfer: Transfer, answer: Answer, ids: readonly (string | undefined)[]): string[] {
  const there = ids.filter((id) => id !== undefined);
  const what = `${transfer.key} (${transfer.manner}), of which was told ${JSON.stringify(answer)},`;
  if (there.length !== 0 && there.length !== ids.length)
    return [`${what} is in ${there.length} databases of ${ids.length}`];
  if (new Set(there).size > 1) return [`${what} was done by several transactions: ${there.join(', ')}`];
  const isDone = there.length > 0;
  if (isDone && (transfer.manner.startsWith('refused') || transfer.manner === 'expired'))
    return [`${what} is done, though it was refused`];
  if ('nothing' in answer) return [];
  if ('refused' in answer) return isDone ? [`${what} is done`] : [];
  const { status, decision, transactionId } = answer.told;
  if (isDone && transactionId !== there[0]) return [`${what} is done by ${there[0]}`];
  const promised =
    status === 'committed' || decision === 'commit' ? true : status === 'aborted' ? false : isDone;
  return isDone === promised ? [] : [`${what} is ${isDone ? 'done' : 'not done'}`];
}

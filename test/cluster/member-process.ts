import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { KnownOutcome } from '../../src/coordinator/index.js';
import type { Command, Order, Report, Settings, Standing, Told } from './messages.js';

const MAIN = fileURLToPath(new URL('./member/main.js', import.meta.url));
/**
 * A cache for compiled code, which is most of the time of a start: the next process need not compile it
 * again.
 */
const COMPILE_CACHE = fileURLToPath(new URL('../../compiled', import.meta.url));

/**
 * The answer to a caller: an outcome, a refusal before anything began, or nothing, because the process had
 * ended.
 */
export type Answer = { readonly told: Told } | { readonly refused: string } | { readonly nothing: true };

/** Members end with this process, however that ends: one that is stopped would not notice. */
const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** One run of a member, in a process of its own. */
export class MemberProcess {
  /** Resolves when the process is gone, and everything that it has said was heard. */
  readonly ended: Promise<void>;
  isUp = false;
  isOver = false;
  /** How it has ended. */
  end = '';
  /** The output for people. */
  output = '';
  private readonly started = Promise.withResolvers<boolean>();
  private readonly callers = new Map<number, (answer: Answer) => void>();
  private readonly questions = new Map<number, (reply: KnownOutcome | Standing | undefined) => void>();
  private asked = 0;

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
    private readonly begun: (key: string, transactionId: string) => void,
  ) {
    children.add(child);
    child.on('message', (report: Report) => this.hear(report));
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.ended = Promise.all([once(child, 'exit'), once(child, 'disconnect'), once(child, 'close')]).then(
      ([[code, signal]]) => this.over(String(signal ?? code)),
    );
  }

  /**
   * Starts a member.
   *
   * @param begun hears of the transactions of orders, as soon as their ids are known.
   */
  static start(
    settings: Settings,
    begun: (key: string, transactionId: string) => void = () => {},
  ): MemberProcess {
    const child = spawn(process.execPath, [MAIN], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: COMPILE_CACHE, NO_COLOR: '1' },
    });
    const member = new MemberProcess(settings.run, child, begun);
    member.send({ type: 'start', settings });
    return member;
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** @returns whether it has come up; false when it has ended before. */
  up(): Promise<boolean> {
    return this.started.promise;
  }

  /** @returns the answer to the caller; undefined when the process ends first. */
  order(order: Order): Promise<Answer> {
    if (this.isOver) return Promise.resolve({ nothing: true });
    const number = ++this.asked;
    return new Promise((resolve) => {
      this.callers.set(number, resolve);
      this.send({ type: 'order', number, order });
    });
  }

  /** @returns this member's view of a transaction; undefined when it ends first. */
  async outcomeOf(transactionId: string): Promise<KnownOutcome | undefined> {
    return (await this.ask((number) => ({ type: 'ask', number, transactionId }))) as KnownOutcome | undefined;
  }

  /** @returns how it stands; undefined when it ends before. */
  async standing(): Promise<Standing | undefined> {
    return (await this.ask((number) => ({ type: 'look', number }))) as Standing | undefined;
  }

  /** How many files and connections it has open; undefined where that cannot be found out. */
  get openFiles(): number | undefined {
    try {
      return readdirSync(`/proc/${this.pid}/fd`).length;
    } catch {
      return undefined;
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }

  private ask(commandOf: (number: number) => Command): Promise<KnownOutcome | Standing | undefined> {
    if (this.isOver) return Promise.resolve(undefined);
    const number = ++this.asked;
    return new Promise((resolve) => {
      this.questions.set(number, resolve);
      this.send(commandOf(number));
    });
  }

  private send(command: Command): void {
    // The process may end at any time; those that wait are told.
    if (this.child.connected) this.child.send(command, () => {});
  }

  private hear(report: Report): void {
    switch (report.type) {
      case 'started':
        this.isUp = true;
        this.started.resolve(true);
        break;
      case 'begun':
        this.begun(report.key, report.transactionId);
        break;
      case 'told':
        this.answer(report.number, { told: report.told });
        break;
      case 'refused':
        this.answer(report.number, { refused: report.code });
        break;
      case 'known':
        this.reply(report.number, report.known);
        break;
      case 'standing':
        this.reply(report.number, report.standing);
        break;
      case 'failed':
        this.output += `${report.message}\n`;
        break;
    }
  }

  private answer(number: number, answer: Answer): void {
    this.callers.get(number)?.(answer);
    this.callers.delete(number);
  }

  private reply(number: number, reply: KnownOutcome | Standing): void {
    this.questions.get(number)?.(reply);
    this.questions.delete(number);
  }

  private over(end: string): void {
    children.delete(this.child);
    this.end = end;
    this.isOver = true;
    this.isUp = false;
    this.started.resolve(false);
    for (const resolve of this.callers.values()) resolve({ nothing: true });
    for (const resolve of this.questions.values()) resolve(undefined);
    this.callers.clear();
    this.questions.clear();
  }
}

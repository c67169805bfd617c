import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { CrashOrder } from './application/crash-points.js';
import type { Command, Condition, LogFault, Report, Settings, Told, Transfer } from './messages.js';

/** Nothing takes this long but a defect, however busy the machine is. */
export const PATIENCE_MS = 60_000;

const MAIN = 'build/crash/test/crash/application/main.js';
const ROOT = new URL(import.meta.url).pathname.includes('/build/crash/') ? '../../../../' : '../../';
const PROJECT = fileURLToPath(new URL(ROOT, import.meta.url));
/**
 * A cache for compiled code, which is most of the time of a start: the next run need not compile it again.
 */
const COMPILE_CACHE = `${PROJECT}build/crash/compiled`;

/**
 * The answer to a caller: an outcome, a refusal before anything began, or nothing, because the process had
 * ended.
 */
export type Answer = { readonly told: Told } | { readonly refused: string } | { readonly nothing: true };

/** How the process has ended. */
export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** One run of the application, in a process of its own. */
export class Run {
  /** Resolves when the process is gone, and everything that it has said was heard. */
  readonly ended: Promise<End>;
  isOver = false;
  /** The last output of the application, for the report of a failure. */
  distress = '';
  private readonly waiting = new Map<string, (answer: Answer) => void>();
  private readonly started = Promise.withResolvers<void>();
  private settled: PromiseWithResolvers<Condition> | undefined;
  private known: PromiseWithResolvers<readonly string[]> | undefined;

  private constructor(
    readonly name: string,
    readonly child: ChildProcess,
  ) {
    this.started.promise.catch(() => {});
    child.on('message', (report: Report) => this.hear(report));
    for (const stream of [child.stdout!, child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => (this.distress += text));
    this.ended = Promise.all([once(child, 'exit'), once(child, 'disconnect'), once(child, 'close')]).then(
      ([[code, signal]]) =>
        this.over({ code: code as number | null, signal: signal as NodeJS.Signals | null }),
    );
  }

  /**
   * Starts the application.
   *
   * @param tracer a program that the process runs under, with its arguments.
   */
  static start(settings: Settings, order?: CrashOrder, tracer: readonly string[] = []): Run {
    const [command, ...args] = [...tracer, process.execPath, MAIN] as const;
    const child = spawn(command, args, {
      cwd: PROJECT,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: {
        PATH: process.env['PATH'],
        NODE_COMPILE_CACHE: COMPILE_CACHE,
        ...(tracer.length > 0 && { UV_THREADPOOL_SIZE: '1' }),
      },
    });
    const run = new Run(settings.run, child);
    run.send({ type: 'start', settings, ...(order !== undefined && { order }) });
    return run;
  }

  /** Resolves when the application is up. @throws when it is not, and why. */
  async up(): Promise<this> {
    await this.started.promise;
    return this;
  }

  arm(order: CrashOrder | undefined, fault?: LogFault): void {
    this.send({ type: 'arm', ...(order !== undefined && { order }), ...(fault !== undefined && { fault }) });
  }

  /** @returns for each what its caller hears; nothing, when the process ends before. They arrive together. */
  transfers(transfers: readonly Transfer[]): Promise<Answer>[] {
    if (this.isOver) return transfers.map(() => Promise.resolve({ nothing: true }));
    const answers = transfers.map(
      ({ key }) => new Promise<Answer>((resolve) => this.waiting.set(key, resolve)),
    );
    this.send({ type: 'transfers', transfers });
    return answers;
  }

  /**
   * Lets the application recover what it can now.
   *
   * @returns how it stands; undefined when it has ended instead.
   */
  async settle(): Promise<Condition | undefined> {
    if (this.isOver) return undefined;
    this.settled ??= Promise.withResolvers();
    const { promise } = this.settled;
    this.send({ type: 'settle' });
    return Promise.race([promise, this.ended.then(() => undefined)]);
  }

  /** @returns the application's view of these transactions; undefined when it has ended instead. */
  async outcomesOf(ids: readonly string[]): Promise<readonly string[] | undefined> {
    if (this.isOver) return undefined;
    this.known = Promise.withResolvers();
    const { promise } = this.known;
    this.send({ type: 'outcomes', ids });
    return Promise.race([promise, this.ended.then(() => undefined)]);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended;
  }

  private send(command: Command): void {
    // The process may end at any time; waiting callers are told.
    if (this.child.connected) this.child.send(command, () => {});
  }

  private hear(report: Report): void {
    switch (report.type) {
      case 'started':
        this.started.resolve();
        break;
      case 'told':
        this.answer(report.key, { told: report.told });
        break;
      case 'refused':
        this.answer(report.key, { refused: report.code });
        break;
      case 'settled':
        this.settled?.resolve(report.condition);
        this.settled = undefined;
        break;
      case 'outcomes':
        this.known?.resolve(report.statuses);
        break;
      case 'failed':
        this.distress += report.message;
        this.started.reject(new Error(report.message));
        this.settled?.reject(new Error(report.message));
        this.known?.reject(new Error(report.message));
        break;
    }
  }

  private answer(key: string, answer: Answer): void {
    this.waiting.get(key)?.(answer);
    this.waiting.delete(key);
  }

  private over(end: End): End {
    this.isOver = true;
    this.started.reject(new Error(`The application ended: ${JSON.stringify(end)} ${this.distress}`));
    for (const resolve of this.waiting.values()) resolve({ nothing: true });
    this.waiting.clear();
    return end;
  }
}

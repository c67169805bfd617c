import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Troubles } from './contender.js';
import type { Answer, Order } from './contender-process.js';

/** The result of one round. */
export interface Rate {
  /** How many transactions were run. */
  readonly count: number;
  /** Transactions a second. */
  readonly tps: number;
  /** Transactions for a second of processor time. */
  readonly cpuTps: number;
  readonly troubles: Troubles | undefined;
}

/** Contenders end with the measuring process, however it ends, and before their folders are removed. */
const children = new Set<ChildProcess>();
process.prependListener('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** A contender in a process of its own, as the measuring process sees it. */
export class ContenderRunner<Name extends string> {
  private ranSoFar = 0;
  private readonly child: ChildProcess;
  private readonly exit: Promise<unknown[]>;
  private readonly died: Promise<never>;

  /**
   * @param module exports `makeContender`.
   * @param setup is passed to it, as JSON.
   */
  constructor(
    readonly name: Name,
    module: URL,
    setup: unknown = null,
  ) {
    // The measurements are written to the standard output, so no other code may write there.
    this.child = fork(
      new URL('./contender-process.js', import.meta.url),
      [module.href, name, JSON.stringify(setup)],
      { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] },
    );
    children.add(this.child);
    this.exit = once(this.child, 'exit').finally(() => children.delete(this.child));
    this.died = this.exit.then(([code]) => {
      throw new Error(`the process of ${name} ended with ${String(code)}`);
    });
    this.died.catch(() => {});
  }

  /** How many transactions it has run so far. All of them are committed. */
  get ran(): number {
    return this.ranSoFar;
  }

  /** @returns how many transactions fill a slice once the code is fully compiled. */
  async warmUp(inFlight: number, warmUpMs: number, sliceMs: number): Promise<number> {
    return (await this.ask({ kind: 'warm-up', inFlight, warmUpMs, sliceMs })).count;
  }

  async run(inFlight: number, count: number): Promise<Rate> {
    const { tookMs, cpuMs, troubles } = await this.ask({ kind: 'run', inFlight, count });
    return { count, tps: (count / tookMs) * 1000, cpuTps: (count / cpuMs) * 1000, troubles };
  }

  /**
   * Starts transactions at a fixed pace.
   *
   * @returns how long one took, in milliseconds: the median.
   */
  async pace(tps: number, durationMs: number): Promise<number> {
    return (await this.ask({ kind: 'pace', tps, durationMs })).msP50!;
  }

  /** @returns a promise that resolves when the process has ended and holds no resource any more. */
  async stop(): Promise<void> {
    if (this.child.connected) this.child.disconnect();
    await this.exit;
  }

  private async ask(order: Order): Promise<Answer> {
    const answer = once(this.child, 'message') as Promise<[Answer]>;
    this.child.send(order);
    const [value] = await Promise.race([answer, this.died]);
    this.ranSoFar = value.ran;
    return value;
  }
}

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { Answer, Order } from './contender-process.js';
import type { ContenderName } from './contenders.js';

/** What one round came to. */
export interface Rate {
  /** Transactions a second. */
  readonly tps: number;
  /** Transactions for a second of processor time. */
  readonly cpuTps: number;
}

/** A contender in a process of its own, as the measuring process sees it. */
export class ContenderRunner {
  private readonly child: ChildProcess;
  private readonly died: Promise<never>;

  constructor(readonly name: ContenderName) {
    // What is measured for others to read goes to the standard output, so nobody else may write there.
    this.child = fork(new URL('./contender-process.js', import.meta.url), [name], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.died = once(this.child, 'exit').then(([code]) => {
      throw new Error(`the process of ${name} ended with ${String(code)}`);
    });
    this.died.catch(() => {});
  }

  /** @returns how many transactions fill a slice, once the code is compiled as it will stay. */
  async warmUp(inFlight: number, warmUpMs: number, sliceMs: number): Promise<number> {
    return (await this.ask({ kind: 'warm-up', inFlight, warmUpMs, sliceMs })).count;
  }

  async run(inFlight: number, count: number): Promise<Rate> {
    const { tookMs, cpuMs } = await this.ask({ kind: 'run', inFlight, count });
    return { tps: (count / tookMs) * 1000, cpuTps: (count / cpuMs) * 1000 };
  }

  stop(): void {
    this.child.disconnect();
  }

  private async ask(order: Order): Promise<Answer> {
    const answer = once(this.child, 'message') as Promise<[Answer]>;
    this.child.send(order);
    const [value] = await Promise.race([answer, this.died]);
    return value;
  }
}

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** One run of the application. */
export class ShopProcess {
  /** What it has logged. */
  readonly messages: string[] = [];
  /** Resolves when it has ended, with the signal that ended it; null when it has ended by itself. */
  readonly ended: Promise<string | null>;

  private constructor(
    private readonly child: ChildProcess,
    private url = '',
  ) {
    this.ended = once(child, 'exit').then(([code, signal]) =>
      endOf(code as number | null, signal as string | null),
    );
    createInterface({ input: child.stdout! }).on('line', (line) => {
      this.messages.push((JSON.parse(line) as { msg: string }).msg);
    });
  }

  /** @returns the application, when it listens. */
  static async start(environment: NodeJS.ProcessEnv): Promise<ShopProcess> {
    const child = fork(join(import.meta.dirname, 'shop.js'), {
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
    });
    const shop = new ShopProcess(child);
    const url = await Promise.race([shop.message(), shop.ended]);
    if (!url?.startsWith('http')) throw new Error('The application did not start.');
    shop.url = url;
    return shop;
  }

  /** The next decision to commit is the end of it. */
  async armCrash(): Promise<void> {
    this.child.send('arm');
    await this.message();
  }

  /** @returns the status and the body; undefined when the connection was lost. */
  async order(
    key: string,
    customerId: string,
    sku: string,
  ): Promise<{ status: number; body: { orderId?: string; code?: string } } | undefined> {
    try {
      const response = await fetch(`${this.url}/orders`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json', 'Idempotency-Key': key },
        body: JSON.stringify({ customerId, items: [{ sku, quantity: 1 }] }),
      });
      return { status: response.status, body: (await response.json()) as { orderId?: string } };
    } catch {
      return undefined;
    }
  }

  /** Ends it as an operator does. */
  async stop(): Promise<void> {
    if (process.platform === 'win32') this.child.send({ stop: true });
    else this.child.kill('SIGTERM');
    await this.ended;
  }

  /** Ends it at once, if it has not ended. */
  kill(): void {
    this.child.kill('SIGKILL');
  }

  private async message(): Promise<string> {
    const [message] = (await once(this.child, 'message')) as [string];
    return message;
  }
}

/** On Windows a process that kills itself ends with code 1, and without a signal. */
function endOf(code: number | null, signal: string | null): string | null {
  return process.platform === 'win32' && code === 1 ? 'SIGKILL' : signal;
}

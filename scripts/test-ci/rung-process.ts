import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Rung } from './rungs.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const IS_WINDOWS = process.platform === 'win32';
/** How long a rung may clean up, and how long what it has left behind may still write. */
const GRACE_MS = 10_000;

/** A rung that runs, in a process group of its own: what it has started there ends with it. */
export class RungProcess {
  private readonly child: ChildProcess;
  private reason: string | undefined;

  /**
   * Resolves when it has ended: to undefined when it has passed, and else to what went wrong, in few words.
   */
  readonly ended: Promise<string | undefined>;

  /**
   * @param limitMs after which it is ended.
   * @param hear what it writes to its standard output and error.
   */
  constructor(
    { command: [program, ...args], environment }: Rung,
    limitMs: number,
    hear: (text: string) => void,
  ) {
    this.child = spawn(program!, args, {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
      detached: !IS_WINDOWS,
      // On Windows npm and npx are scripts of the shell.
      shell: IS_WINDOWS,
    });
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.setEncoding('utf8').on('data', hear);
    const limit = setTimeout(() => this.end('SIGTERM', `time limit of ${limitMs / 60_000} min`), limitMs);
    this.ended = this.wait().finally(() => clearTimeout(limit));
  }

  /**
   * Ends it and what it has started: now, and by force what is left of them after ten seconds.
   *
   * @param reason why, for the summary.
   */
  end(signal: NodeJS.Signals, reason: string): void {
    this.reason ??= reason;
    this.signal(signal);
    const force = setTimeout(() => this.signal('SIGKILL'), GRACE_MS);
    void this.ended.finally(() => clearTimeout(force));
  }

  private async wait(): Promise<string | undefined> {
    const closed = once(this.child, 'close');
    closed.catch(() => {});
    let ending: string | undefined;
    try {
      const [code, signal] = (await once(this.child, 'exit')) as [number | null, NodeJS.Signals | null];
      ending = code === 0 ? undefined : String(signal ?? code);
    } catch (error) {
      return (error as Error).message;
    }
    const cut = setTimeout(() => {
      this.signal('SIGKILL');
      // A process that has left the group keeps them open.
      for (const stream of [this.child.stdout!, this.child.stderr!]) stream.destroy();
    }, GRACE_MS);
    await closed;
    clearTimeout(cut);
    this.signal('SIGKILL');
    return this.reason ?? ending;
  }

  private signal(signal: NodeJS.Signals): void {
    const { pid } = this.child;
    if (pid === undefined) return;
    if (IS_WINDOWS) {
      spawnSync('taskkill', ['/pid', String(pid), '/t', '/f'], { stdio: 'ignore' });
      return;
    }
    try {
      process.kill(-pid, signal);
    } catch (error) {
      // All of them have ended.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

import { type ChildProcess, fork } from 'node:child_process';
import { createInterface } from 'node:readline';

/** How a process has ended. */
export interface Ended {
  /** Null when a signal has ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A line that a member has written: of its log, or other text. */
export interface MemberLine {
  /** The fields of a line of the log; undefined for other text. */
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** A message from a member to its parent. */
export type MemberMessage = Readonly<Record<string, unknown>>;

/** A process that should have listened has ended. */
export class MemberNotStartedError extends Error {
  constructor(name: string, { code, signal }: Ended) {
    super(`${name} did not start: it ended ${signal === null ? `with code ${code}` : `by ${signal}`}.`);
    this.name = 'MemberNotStartedError';
  }
}

/** One member of the cluster: the application in a process of its own. */
export class MemberProcess {
  /** Resolves when the process has ended and all its lines were read; it is never a rejection. */
  readonly ended: Promise<Ended>;
  /** Undefined while the process runs. */
  end: Ended | undefined;
  /** Where it listens; empty before it does. */
  url = '';

  private constructor(
    readonly name: string,
    private readonly child: ChildProcess,
    onLine: (line: MemberLine) => void,
  ) {
    this.ended = new Promise<Ended>((resolve) => {
      child.once('close', (code, signal) => resolve({ code, signal }));
      // A process that could not be created has ended. Of one that lives, the failure of a signal says
      // nothing.
      child.on('error', () => child.pid === undefined && resolve({ code: 1, signal: null }));
    }).then((ended) => (this.end = ended));
    for (const stream of [child.stdout!, child.stderr!]) {
      createInterface({ input: stream }).on('line', (text) => onLine(lineOf(text)));
    }
  }

  /**
   * @param program of the member, which tells its parent `{ url }` when it listens, and ends by `{ stop: true
   * }`. See `main-member.ts`.
   * @param onLine gets each line of its standard output and its standard error.
   * @returns the member, when it listens.
   * @throws MemberNotStartedError when it ends before. Its lines have said why.
   */
  static async start(
    name: string,
    program: string,
    environment: NodeJS.ProcessEnv,
    onLine: (line: MemberLine) => void,
  ): Promise<MemberProcess> {
    const child = fork(program, {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      // Ctrl+C at a terminal reaches the parent alone, so that the parent stops one member after the other.
      detached: process.platform !== 'win32',
    });
    const member = new MemberProcess(name, child, onLine);
    const message = await Promise.race([member.next((said) => 'url' in said), member.ended]);
    if (!('url' in message)) throw new MemberNotStartedError(name, message as Ended);
    member.url = String(message['url']);
    return member;
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** @returns the next message of this kind; it stays pending when the process ends. */
  next(isMeant: (message: MemberMessage) => boolean): Promise<MemberMessage> {
    const { promise, resolve } = Promise.withResolvers<MemberMessage>();
    const listen = (message: MemberMessage): void => {
      if (!isMeant(message)) return;
      this.child.off('message', listen);
      resolve(message);
    };
    this.child.on('message', listen);
    return promise;
  }

  /** A message to a process that has just ended is lost. */
  tell(message: MemberMessage): void {
    this.child.send(message, () => {});
  }

  /** Sends a signal, unless the process has ended. */
  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /**
   * Ends it as an operator does: it finishes what it has begun and leaves the log.
   *
   * @param withinMs after which it is killed. Nothing is lost then.
   * @param platform where it runs. On Windows a signal ends a process at once, so a message tells it.
   */
  async stop(withinMs: number, platform: NodeJS.Platform = process.platform): Promise<Ended> {
    if (platform !== 'win32') this.signal('SIGTERM');
    else this.tell({ stop: true });
    const late = setTimeout(() => this.signal('SIGKILL'), withinMs);
    const ended = await this.ended;
    clearTimeout(late);
    return ended;
  }
}

function lineOf(text: string): MemberLine {
  if (!text.startsWith('{')) return { text };
  try {
    const fields = JSON.parse(text) as Record<string, unknown>;
    // pino writes the text into one of them, and the logger of Nest into the other.
    const said = fields['msg'] ?? fields['message'];
    return typeof said === 'string' ? { fields, text: said } : { text };
  } catch {
    return { text };
  }
}

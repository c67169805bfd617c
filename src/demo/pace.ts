/** How often work is started, and for how long. */
export interface PaceOptions {
  readonly perSecond: number;
  readonly forMs: number;
  /** The most pieces of work that are under way. One that is due meanwhile is left out. */
  readonly maxOpen: number;
}

/** The shortest time between two looks at what is due, in milliseconds. */
const SHORTEST_PAUSE_MS = 10;
/** After a pause of the process, at most the work of this time is made up for; the rest is left out. */
const LONGEST_BACKLOG_MS = 1_000;

/** Starts work at an even pace until its time is over. It holds no process open. */
export class Pace {
  /** Resolves when no more work is started and all of it has ended. */
  readonly ended: Promise<void>;
  readonly endsAt: Date;
  /** How many pieces of work were started, and how many were left out. */
  started = 0;
  leftOut = 0;
  /** How many are under way. */
  open = 0;
  private readonly startedAt = performance.now();
  private readonly timer: NodeJS.Timeout;
  private isOver = false;
  private readonly end: () => void;

  /** @param work is given its number, from 0. It must not fail. */
  constructor(
    private readonly options: PaceOptions,
    private readonly work: (index: number) => Promise<void>,
  ) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.end = resolve;
    this.endsAt = new Date(Date.now() + options.forMs);
    const pauseMs = Math.max(SHORTEST_PAUSE_MS, 1_000 / options.perSecond);
    this.timer = setInterval(() => this.look(), pauseMs).unref();
  }

  /** Whether work is still being started. */
  get isRunning(): boolean {
    return !this.isOver;
  }

  /** Starts no more work. Work under way ends by itself. */
  stop(): void {
    clearInterval(this.timer);
    this.isOver = true;
    if (this.open === 0) this.end();
  }

  private look(): void {
    const { perSecond, forMs, maxOpen } = this.options;
    const elapsedMs = performance.now() - this.startedAt;
    const due = Math.floor((Math.min(elapsedMs, forMs) / 1_000) * perSecond);
    const backlog = due - this.started - this.leftOut;
    this.leftOut += Math.max(0, backlog - Math.ceil((LONGEST_BACKLOG_MS / 1_000) * perSecond));
    while (this.started + this.leftOut < due) {
      if (this.open >= maxOpen) this.leftOut++;
      else void this.start();
    }
    if (elapsedMs >= forMs) this.stop();
  }

  private async start(): Promise<void> {
    this.open++;
    await this.work(this.started++);
    this.open--;
    if (this.isOver && this.open === 0) this.end();
  }
}

import type { SchedulerRegistry } from '@nestjs/schedule';
import { SafeLogger } from '../gate/safe-logger.js';
import { messageOf } from '../gate/texts.js';

/**
 * A job that the scheduler starts at a fixed pace. It runs once at a time: a start during a run is skipped,
 * and a stop waits for the current run.
 */
export class PeriodicJob {
  private readonly logger = new SafeLogger(PeriodicJob.name);
  private running: Promise<void> | undefined;
  private stopped = false;
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param name unique in the scheduler.
   * @param intervalMs from one start to the next.
   * @param work the work of a run. Its errors are logged, and the job continues.
   */
  constructor(
    private readonly scheduler: SchedulerRegistry,
    private readonly name: string,
    private readonly intervalMs: number,
    private readonly work: () => void | Promise<void>,
  ) {}

  /** @throws Error when the name is taken. No timer is left behind then. */
  start(): void {
    if (this.stopped) return;
    if (this.scheduler.doesExist('interval', this.name)) {
      throw new Error(
        `A job "${this.name}" already exists. Import CoordinatorModule only once in an application.`,
      );
    }
    this.timer = setInterval(() => void this.runNow(), this.intervalMs);
    this.timer.unref();
    this.scheduler.addInterval(this.name, this.timer);
  }

  /**
   * From now on the job keeps the process alive. Before, it does not, so that a failed start ends the
   * process.
   */
  keepAlive(): void {
    this.timer?.ref();
  }

  /** @returns a promise that resolves when the run, a new or the current one, has ended. */
  runNow(): Promise<void> {
    if (this.stopped) return Promise.resolve();
    if (this.running !== undefined) return this.running;
    try {
      const result = this.work();
      if (result === undefined) return Promise.resolve();
      this.running = result
        .catch((error: unknown) => this.failed(error))
        .finally(() => (this.running = undefined));
      return this.running;
    } catch (error) {
      this.failed(error);
      return Promise.resolve();
    }
  }

  /** Starts no further run. Resolves when the current run has ended. */
  async stop(): Promise<void> {
    this.stopped = true;
    if (this.scheduler.doesExist('interval', this.name)) this.scheduler.deleteInterval(this.name);
    await this.running;
  }

  private failed(error: unknown): void {
    this.logger.error(`${this.name} failed and will run again: ${messageOf(error)}`);
  }
}

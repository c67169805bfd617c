import { Logger } from '@nestjs/common';
import type { SchedulerRegistry } from '@nestjs/schedule';
import { messageOf } from '../gate/texts.js';

/**
 * A job that the scheduler starts at a fixed pace. It runs once at a time: a start while it runs is skipped, and a
 * stop waits for the run that is under way.
 */
export class PeriodicJob {
  private readonly logger = new Logger(PeriodicJob.name);
  private running: Promise<void> | undefined;
  private stopped = false;
  private timer: NodeJS.Timeout | undefined;

  /**
   * @param name unique in the scheduler.
   * @param intervalMs from one start to the next.
   * @param work what is done; what it throws is logged, and the job goes on.
   */
  constructor(
    private readonly scheduler: SchedulerRegistry,
    private readonly name: string,
    private readonly intervalMs: number,
    private readonly work: () => void | Promise<void>,
  ) {}

  /** @throws Error when the name is taken; then no timer is left behind. */
  start(): void {
    if (this.stopped) return;
    if (this.scheduler.doesExist('interval', this.name)) {
      throw new Error(
        `There is a job "${this.name}" already. Import CoordinatorModule once in an application.`,
      );
    }
    this.timer = setInterval(() => void this.runNow(), this.intervalMs);
    this.timer.unref();
    this.scheduler.addInterval(this.name, this.timer);
  }

  /** From now on the job keeps the process alive; before, it does not, so that a start that fails ends it. */
  keepAlive(): void {
    this.timer?.ref();
  }

  /** @returns a promise that resolves when the run, a new one or the one under way, is over. */
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

  /** No further run starts; resolves when none is under way. */
  async stop(): Promise<void> {
    this.stopped = true;
    if (this.scheduler.doesExist('interval', this.name)) this.scheduler.deleteInterval(this.name);
    await this.running;
  }

  private failed(error: unknown): void {
    this.logger.error(`${this.name} failed and goes on: ${messageOf(error)}`);
  }
}

import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { PeriodicJob } from './periodic-job.js';
import { StalledRecovery } from './stalled-recovery.js';

/**
 * What runs by itself while the application does: the sweep of the deadlines and the recovery of stalled branches;
 * and at its end, the drain. The jobs start with the coordinator's module, which as a global one is initialised before
 * those of the application, so that a transaction may be run in their hooks.
 */
@Injectable()
export class CoordinatorLifecycle implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Coordinator');
  private readonly sweep: PeriodicJob;
  private readonly recovery: PeriodicJob;
  private endSubscription: (() => void) | undefined;

  constructor(
    scheduler: SchedulerRegistry,
    @Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime,
  ) {
    const { options } = runtime.parts;
    const { name } = options;
    const stalled = new StalledRecovery(runtime, options.recoveryConcurrency);
    this.sweep = new PeriodicJob(scheduler, `${name}.sweep`, options.sweepIntervalMs, () => runtime.sweep());
    this.recovery = new PeriodicJob(scheduler, `${name}.recovery`, options.recoveryIntervalMs, () =>
      stalled.pass(),
    );
  }

  onModuleInit(): void {
    this.endSubscription = this.runtime.parts.clock.onAdvance?.(() => this.runtime.sweep());
    this.sweep.start();
    this.recovery.start();
  }

  onApplicationBootstrap(): void {
    this.sweep.keepAlive();
    this.recovery.keepAlive();
  }

  /** Runs the recovery job now; resolves when the pass, a new one or the one under way, is over. */
  recoverNow(): Promise<void> {
    return this.recovery.runNow();
  }

  /**
   * Starts nothing more, and waits until what is in flight, a recovery pass as well, has ended or the grace period has.
   * Called by {@link DrainModule}, before anything that a transaction in flight may need is closed.
   */
  async drain(): Promise<void> {
    const { admission, registry, parts } = this.runtime;
    admission.close();
    const { shutdownGraceMs } = parts.options;
    const drained = Promise.all([registry.whenIdle(), this.recovery.stop()]);
    if (registry.inFlight > 0) {
      this.logger.log(
        `Waiting up to ${shutdownGraceMs} ms for the transactions in flight: ${registry.inFlight}`,
      );
    }
    let timer: NodeJS.Timeout | undefined;
    const graceEnd = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, shutdownGraceMs);
    });
    await Promise.race([drained, graceEnd]);
    clearTimeout(timer);
    this.answerWhoeverWaits();
    this.reportLeftovers();
  }

  async onApplicationShutdown(): Promise<void> {
    await this.sweep.stop();
    this.endSubscription?.();
  }

  /**
   * After the grace period every caller is answered all the same. The HTTP server closes only when each request has its
   * answer, and the scheduler drops the sweep before that, so that no deadline would come to their rescue.
   */
  private answerWhoeverWaits(): void {
    const { registry, executor } = this.runtime;
    if (registry.inFlight === 0) return;
    this.logger.error(`The grace period is over, and transactions are still in flight: ${registry.inFlight}`);
    registry.forEach((transaction) => {
      if (transaction.endedAt !== 0 || registry.unsettled.has(transaction)) return;
      executor.stopWaiting(transaction);
      if (transaction.endedAt !== 0) return;
      this.logger.error(`${transaction.id} is ${transaction.stateName} and ends with this process`);
    });
  }

  /** What a coordinator without a durable log forgets now, in the words that an operator needs. */
  private reportLeftovers(): void {
    const { registry } = this.runtime;
    for (const { id, stateName } of registry.unsettled) {
      this.logger.error(`${id} is ${stateName} and unsettled: its decision ends with this process`);
    }
  }
}

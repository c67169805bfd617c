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
import { isCommit } from '../protocol/index.js';
import { PeriodicJob } from './periodic-job.js';
import { Recovery } from './recovery.js';

/**
 * What runs by itself while the application does: the sweep of the deadlines and the recovery of stalled branches;
 * and at its end, the drain. The jobs start with the coordinator's module, which as a global one is initialised before
 * those of the application, so that a transaction may be run in their hooks.
 */
@Injectable()
export class CoordinatorLifecycle implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new Logger('Coordinator');
  private readonly sweep: PeriodicJob;
  private readonly recoveryJob: PeriodicJob;
  private readonly recovery: Recovery;
  private endSubscription: (() => void) | undefined;

  constructor(
    scheduler: SchedulerRegistry,
    @Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime,
  ) {
    const { options } = runtime.parts;
    const { name } = options;
    this.recovery = new Recovery(runtime);
    this.sweep = new PeriodicJob(scheduler, `${name}.sweep`, options.sweepIntervalMs, () => runtime.sweep());
    this.recoveryJob = new PeriodicJob(scheduler, `${name}.recovery`, options.recoveryIntervalMs, () =>
      this.recovery.pass(),
    );
  }

  onModuleInit(): void {
    this.endSubscription = this.runtime.parts.clock.onAdvance?.(() => this.runtime.sweep());
    this.sweep.start();
    this.recoveryJob.start();
  }

  /** By now every participant is registered, so that the decisions of earlier runs can be delivered. */
  onApplicationBootstrap(): void {
    this.sweep.keepAlive();
    this.recoveryJob.keepAlive();
    const decisions = this.runtime.parts.claim.decisions.length;
    const missing = this.recovery.restore();
    if (decisions > 0) this.logger.log(`Delivering the decisions of earlier runs: ${decisions}`);
    for (const name of missing) {
      this.logger.warn(`"${name}" has branches to complete and is not registered: they wait until it is`);
    }
    void this.recoveryJob.runNow();
  }

  /** Runs the recovery job now; resolves when the pass, a new one or the one under way, is over. */
  recoverNow(): Promise<void> {
    return this.recoveryJob.runNow();
  }

  /**
   * Starts nothing more, and waits until what is in flight, a recovery pass as well, has ended or the grace period has.
   * Called by {@link DrainModule}, before anything that a transaction in flight may need is closed.
   */
  async drain(): Promise<void> {
    const { admission, registry, parts } = this.runtime;
    admission.close();
    this.recovery.stop();
    const { shutdownGraceMs } = parts.options;
    const drained = Promise.all([registry.whenIdle(), this.recoveryJob.stop()]);
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
    await this.runtime.parts.log.close();
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
    const { registry, log } = this.runtime;
    for (const { id, state, stateName } of registry.unsettled) {
      if (log.durable && isCommit(state)) {
        this.logger.warn(`${id} is ${stateName} and unsettled: it goes on after the next start`);
      } else {
        this.logger.error(`${id} is ${stateName} and unsettled: its decision ends with this process`);
      }
    }
  }
}

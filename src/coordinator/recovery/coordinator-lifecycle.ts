import { fieldsOfTransaction } from '../execution/line-fields.js';
import { LogLine } from '../gate/log-line.js';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { endAll, endInTurn } from '../end-all.js';
import { SafeLogger } from '../gate/safe-logger.js';
import { Membership } from '../membership/membership.js';
import { ClaimsOfRun } from '../participant/claims-of-run.js';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import { messageOf } from '../gate/texts.js';
import type { TransactionRecord } from '../execution/records.js';
import { PeriodicJob } from './periodic-job.js';
import { Recovery } from './recovery.js';

/**
 * Runs the coordinator's jobs while the application runs: the sweep of the deadlines and the recovery of
 * stalled branches. At the end it drains the coordinator. The jobs start with the coordinator's module. As a
 * global module it is initialised before the modules of the application, so their hooks can run transactions.
 */
@Injectable()
export class CoordinatorLifecycle implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  private readonly logger = new SafeLogger('Coordinator');
  private readonly sweep: PeriodicJob;
  private readonly recoveryJob: PeriodicJob;
  private readonly recovery: Recovery;
  /** The membership, where several members share the log. */
  private readonly membership: Membership | undefined;
  private endSubscription: (() => void) | undefined;
  private logClosed: Promise<void> | undefined;
  /** Transactions that the next start continues: how many have a line, and how many have none. */
  private readonly continued = { named: 0, unnamed: 0 };

  constructor(
    scheduler: SchedulerRegistry,
    @Inject(CoordinatorRuntime) private readonly runtime: CoordinatorRuntime,
  ) {
    const { options, participants, allowMemoryLog } = runtime.parts;
    participants.claimWith(new ClaimsOfRun(runtime.log.run, runtime.log.isOwnRun, allowMemoryLog === true));
    const { name } = options;
    this.recovery = new Recovery(runtime);
    this.sweep = new PeriodicJob(scheduler, `${name}.sweep`, options.sweepIntervalMs, () => runtime.sweep());
    const { shared } = runtime.log;
    if (shared !== undefined) {
      this.membership = new Membership(runtime, shared, this.recovery, ({ level, message }) =>
        this.logger[level](message),
      );
    }
    // A prepare of a run that was fenced may land at any time, and is to be found within one lease.
    const { recoveryIntervalMs, leaseMs } = options;
    const intervalMs = shared === undefined ? recoveryIntervalMs : Math.min(recoveryIntervalMs, leaseMs);
    // A pass is not waited for: each participant has its own, and only one that hangs is passed over.
    this.recoveryJob = new PeriodicJob(scheduler, `${name}.recovery`, intervalMs, () => {
      void this.recovery.pass();
    });
  }

  onModuleInit(): void {
    if (this.runtime.logWarning !== undefined) this.logger.warn(this.runtime.logWarning);
    this.endSubscription = this.runtime.parts.clock.onAdvance?.(() => this.runtime.sweep());
    this.membership?.start();
    this.sweep.start();
    this.recoveryJob.start();
  }

  /**
   * By now every participant is registered. Each of them is claimed, and then the decisions of earlier runs
   * are delivered.
   *
   * @throws the error of a participant that refuses this run, which stops the start. The log is closed then,
   * so that another start in the same process can open it.
   */
  async onApplicationBootstrap(): Promise<void> {
    try {
      await this.start();
    } catch (error) {
      try {
        await this.drain();
        await this.close();
      } catch (closing) {
        this.logger.error(`The start was refused, and the log could not be closed: ${messageOf(closing)}`);
      }
      throw error;
    }
  }

  private async start(): Promise<void> {
    await this.runtime.parts.participants.claimAll();
    this.sweep.keepAlive();
    this.recoveryJob.keepAlive();
    const { decisions, missing } = await this.recovery.restoreInSlices();
    if (decisions > 0) this.logger.log(`Delivering the decisions of earlier runs: ${decisions}`);
    for (const name of missing) {
      this.logger.warn(`"${name}" has branches to complete and is not registered: they wait until it is`);
    }
    void this.recovery.pass();
    this.membership?.takeOver();
    const { capacities } = this.runtime;
    capacities.report = ({ level, message }) => this.logger[level](message);
    await capacities.start();
  }

  /** Every start hook has run, those of other modules too. Called by {@link DrainModule}. */
  applicationStarted(): void {
    this.runtime.parts.observer.applicationStarted?.();
  }

  /** Runs the recovery job now. Resolves when the pass, a new or a running one, has ended. */
  recoverNow(): Promise<void> {
    return this.recovery.pass();
  }

  /**
   * Ends the coordinator, as the process does: first it says so and goes on, so that load balancers send
   * their requests elsewhere, then it {@link drain}s. Called by {@link DrainModule}.
   */
  async stop(): Promise<void> {
    const { admission, parts } = this.runtime;
    const { shutdownPauseMs } = parts.options;
    admission.isLeaving = true;
    if (shutdownPauseMs > 0) {
      this.logger.log(
        `A shutdown was asked for: readiness is red, and new transactions are taken for ${shutdownPauseMs} ms more`,
      );
      await new Promise((resolve) => setTimeout(resolve, shutdownPauseMs));
    }
    await this.drain();
  }

  /**
   * Starts nothing more, and waits until the running transactions and a running recovery pass have ended, or
   * the grace period has. Called by {@link DrainModule} before anything that a running transaction may need
   * is closed.
   */
  async drain(): Promise<void> {
    const { admission, registry, reruns, limits, capacities, parts } = this.runtime;
    admission.close();
    capacities.close();
    reruns.close();
    limits.close();
    const { shutdownGraceMs } = parts.options;
    const stopped = endAll([
      () => this.membership?.stop(),
      () => this.recovery.stop(),
      () => this.recoveryJob.stop(),
    ]);
    if (registry.inFlight > 0) {
      this.logger.log(
        `Waiting up to ${shutdownGraceMs} ms for the transactions in flight: ${registry.inFlight}`,
      );
    }
    await endInTurn([
      () => this.withinGrace(Promise.allSettled([registry.whenIdle(), stopped])),
      () => this.answerWaitingCallers(),
      () => this.reportUnsettled(),
      // The shutdown does not wait for transactions that are under way after the grace period.
      () => Promise.race([stopped, Promise.resolve()]),
    ]);
  }

  /** @param signal that the process was sent, such as SIGTERM. */
  async onApplicationShutdown(signal?: string): Promise<void> {
    await this.close();
    this.reportEnd(signal);
  }

  private async close(): Promise<void> {
    // The rest is handed over at once. The sweep still ends a wait for the log.
    if (this.membership !== undefined) await this.withinGrace(this.membership.leave());
    await endInTurn([
      () => this.sweep.stop(),
      () => this.endSubscription?.(),
      // A hanging disk must not prevent the end of the process.
      () => this.withinGrace((this.logClosed ??= this.closeLog())),
    ]);
  }

  private reportEnd(signal: string | undefined): void {
    const { inFlight, unsettled } = this.runtime.registry;
    const left = inFlight + unsettled.size;
    const why = signal === undefined ? '' : ` after ${signal}`;
    this.logger.log(
      left === 0 ? `Stopped${why}: every transaction is settled` : `Stopped${why}. Not settled: ${left}`,
    );
  }

  private async closeLog(): Promise<void> {
    await this.runtime.parts.log.close();
  }

  /**
   * Waits for the work, at most for the grace period: in real time, not on the coordinator's clock, since the
   * platform that ends the process counts so.
   */
  private async withinGrace(work: Promise<unknown>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const graceEnd = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.runtime.parts.options.shutdownGraceMs);
    });
    try {
      await Promise.race([work, graceEnd]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Answers every caller after the grace period. The HTTP server closes only when each request has its
   * answer. The scheduler drops the sweep before that, so no deadline would end the callers' wait.
   */
  private answerWaitingCallers(): void {
    const { registry, executor } = this.runtime;
    if (registry.inFlight === 0) return;
    this.logger.error(`The grace period is over, and transactions are still in flight: ${registry.inFlight}`);
    registry.forEach((transaction) => {
      if (transaction.endedAt !== 0 || registry.unsettled.has(transaction)) return;
      executor.stopWaiting(transaction);
      if (transaction.endedAt === 0) this.reportUnsettledOne(transaction);
    });
  }

  private reportUnsettled(): void {
    for (const transaction of this.runtime.registry.unsettled) this.reportUnsettledOne(transaction);
    const { unnamed } = this.continued;
    if (unnamed > 0) {
      const message = `${unnamed} more transactions are not settled: the next start continues them`;
      this.logger.warn(new LogLine(message, { leftOut: unnamed }));
    }
  }

  /**
   * The future of a transaction that has not ended when the process ends, as a text for operators. A
   * transaction that is lost is always named. The log has the rest of those that go on.
   */
  private reportUnsettledOne(transaction: TransactionRecord): void {
    const { id, stateName } = transaction;
    const fields = fieldsOfTransaction(transaction);
    if (this.runtime.log.durable) {
      if (this.continued.named >= this.runtime.parts.options.maxLinesOfKind) {
        this.continued.unnamed++;
        return;
      }
      this.continued.named++;
      const message = `${id} is ${stateName} and not settled: the next start continues it`;
      this.logger.warn(new LogLine(message, fields));
    } else {
      const message = `${id} is ${stateName} and not settled: its state is lost with this process`;
      this.logger.error(new LogLine(message, fields));
    }
  }
}

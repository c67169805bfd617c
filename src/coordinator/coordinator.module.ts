import { type DynamicModule, Module } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import { ScheduleModule } from '@nestjs/schedule';
import {
  type CoordinatorModuleOptions,
  ConfigurableModuleClass,
  MODULE_OPTIONS_TOKEN,
} from './coordinator.module-definition.js';
import { type ResolvedCoordinatorOptions, resolveCoordinatorOptions } from './coordinator.options.js';
import { InvalidOptionsError } from './errors.js';
import { COORDINATOR_OPTIONS, TRANSACTION_LINES } from './coordinator.tokens.js';
import { DeclarativeExplorer } from './declarative/declarative.explorer.js';
import { DeclarativeTransactions } from './declarative/declarative-transactions.js';
import { TurnClock } from './execution/clock.js';
import { CoordinatorRuntime } from './execution/coordinator-runtime.js';
import { MemoryDecisionLog } from './log/memory-decision-log.js';
import { AlarmBoard } from './observation/alarms/alarm-board.js';
import { CoordinatorMembers } from './observation/coordinator-members.js';
import { CoordinatorStatus } from './observation/coordinator-status.js';
import { History } from './observation/history.js';
import { MetricSource } from './observation/metrics/index.js';
import { Reporter } from './observation/reporter.js';
import { OpenTelemetryTracing } from './observation/tracing/open-telemetry-tracing.js';
import { EventListeners } from './observation/event-listeners.js';
import { TransactionEvents } from './observation/transaction-events.js';
import { NestTransactionLines } from './observation/transaction-lines.js';
import { OperatorActions } from './operator/operator-actions.js';
import { ParticipantAccessor } from './participant/participant.accessor.js';
import { ParticipantExplorer } from './participant/participant.explorer.js';
import { ParticipantRegistry } from './participant/participant.registry.js';
import { DrainModule } from './recovery/drain.module.js';
import { CoordinatorLifecycle } from './recovery/coordinator-lifecycle.js';
import { StartUpWarnings } from './start-up-warnings.js';
import { TransactionManager } from './transaction-manager.js';

/**
 * The scheduler of the coordinator's own jobs, hidden from the application. Nest creates two instances of a
 * module that is imported twice. If this one also registered decorated jobs, those of an application that
 * imports ScheduleModule itself would run twice. If it were global, the registry of the application's
 * providers would depend on the order of its imports.
 */
const ownSchedule: DynamicModule = {
  ...ScheduleModule.forRoot({ cronJobs: false, intervals: false, timeouts: false }),
  global: false,
};

/**
 * The coordinator, for a Nest application: `CoordinatorModule.forRoot()` or `forRootAsync()`, once, in the
 * root module. It is global, finds the participants by itself, and exports {@link TransactionManager}.
 *
 * @publicApi
 */
@Module({
  imports: [DiscoveryModule, ownSchedule, DrainModule],
  providers: [
    {
      provide: COORDINATOR_OPTIONS,
      inject: [MODULE_OPTIONS_TOKEN],
      useFactory: (given: CoordinatorModuleOptions): ResolvedCoordinatorOptions => {
        const {
          clock: _clock,
          random: _random,
          log: _log,
          lines: _lines,
          allowMemoryLog,
          ...options
        } = given;
        if (allowMemoryLog !== undefined && typeof allowMemoryLog !== 'boolean') {
          throw new InvalidOptionsError('CoordinatorModule', ['allowMemoryLog: must be true or false']);
        }
        return resolveCoordinatorOptions(options);
      },
    },
    {
      provide: TRANSACTION_LINES,
      inject: [MODULE_OPTIONS_TOKEN],
      useFactory: ({ lines }: CoordinatorModuleOptions) => lines ?? new NestTransactionLines(),
    },
    {
      provide: CoordinatorRuntime,
      inject: [MODULE_OPTIONS_TOKEN, COORDINATOR_OPTIONS, ParticipantRegistry, Reporter],
      useFactory: async (
        {
          name,
          clock = new TurnClock(),
          random = Math.random,
          log = new MemoryDecisionLog(),
          allowMemoryLog = false,
        }: CoordinatorModuleOptions,
        options: ResolvedCoordinatorOptions,
        participants: ParticipantRegistry,
        observer: Reporter,
      ) => {
        const claim = await log.open(options.name);
        try {
          if (claim.durable && name === undefined) {
            throw new InvalidOptionsError('CoordinatorModule', [
              'name: is required with a durable log, and must never change, because the records in the log belong to it',
            ]);
          }
          const tracing = new OpenTelemetryTracing(observer);
          return new CoordinatorRuntime({
            options,
            participants,
            observer,
            tracing,
            clock,
            random,
            log,
            claim,
            allowMemoryLog,
          });
        } catch (error) {
          // Nothing else closes the log. The reason why there is no coordinator matters more than an error of
          // closing it.
          await Promise.resolve()
            .then(() => log.close())
            .catch(() => {});
          throw error;
        }
      },
    },
    Reporter,
    EventListeners,
    TransactionEvents,
    ParticipantAccessor,
    ParticipantExplorer,
    DeclarativeExplorer,
    {
      provide: DeclarativeTransactions,
      inject: [TransactionManager],
      useFactory: (transactions: TransactionManager) => new DeclarativeTransactions(transactions),
    },
    ParticipantRegistry,
    CoordinatorLifecycle,
    StartUpWarnings,
    CoordinatorStatus,
    History,
    AlarmBoard,
    CoordinatorMembers,
    MetricSource,
    {
      provide: TransactionManager,
      inject: [CoordinatorRuntime, TransactionEvents],
      useFactory: (runtime: CoordinatorRuntime, events: TransactionEvents): TransactionManager => {
        const transactions = new TransactionManager(runtime);
        events.outside = (work) => transactions.scope.hide(transactions.current(), work);
        return transactions;
      },
    },
    OperatorActions,
  ],
  exports: [
    TransactionManager,
    ParticipantRegistry,
    CoordinatorStatus,
    History,
    AlarmBoard,
    CoordinatorMembers,
    MetricSource,
    OperatorActions,
  ],
})
export class CoordinatorModule extends ConfigurableModuleClass {
  /**
   * The coordinator with these options. @throws InvalidOptionsError at start-up, when an option is
   * impossible.
   */
  static override forRoot(
    options: CoordinatorModuleOptions & { readonly isGlobal?: boolean } = {},
  ): DynamicModule {
    return super.forRoot(options);
  }
}

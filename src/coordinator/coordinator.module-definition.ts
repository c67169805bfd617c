import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { CoordinatorOptions } from './coordinator.options.js';
import type { Clock } from './execution/clock.js';
import type { DecisionLog } from './log/decision-log.js';
import type { TransactionLines } from './observation/transaction-lines.js';

/**
 * The options of the coordinator, and its replaceable parts.
 *
 * @publicApi
 */
export interface CoordinatorModuleOptions extends CoordinatorOptions {
  /** @default the monotonic clock of the process */
  readonly clock?: Clock;
  /** The random numbers for jitter, from 0 (included) to 1 (excluded). @default Math.random */
  readonly random?: () => number;
  /** Stores the commit decisions. @default the memory of the process */
  readonly log?: DecisionLog;
  /**
   * Whether a log that forgets its decisions, like the memory log, may serve participants whose prepared
   * branches outlive the process (PostgreSQL, or any participant that lists them by `recover`). After a crash
   * such branches hold their locks, and their decisions are unknown. So without this option the start is
   * refused (`DTC_DURABLE_LOG_NEEDED`).
   *
   * @default false
   */
  readonly allowMemoryLog?: boolean;
  /** Receives the one line at the end of each transaction. @default Nest's logger */
  readonly lines?: TransactionLines;
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } =
  new ConfigurableModuleBuilder<CoordinatorModuleOptions>()
    .setClassMethodName('forRoot')
    .setExtras({ isGlobal: true }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
    .build();

import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { CoordinatorOptions } from './coordinator.options.js';
import type { Clock } from './execution/clock.js';
import type { DecisionLog } from './log/decision-log.js';
import type { TransactionLines } from './observation/transaction-lines.js';

/**
 * The options of the coordinator, and the parts of it that can be replaced.
 *
 * @publicApi
 */
export interface CoordinatorModuleOptions extends CoordinatorOptions {
  /** @default the monotonic clock of the process */
  readonly clock?: Clock;
  /** Where jitter comes from: numbers from 0 (included) to 1 (excluded). @default Math.random */
  readonly random?: () => number;
  /** Where commit decisions are kept. @default the memory of the process */
  readonly log?: DecisionLog;
  /**
   * Whether a log that forgets its decisions, as the one in memory does, may serve participants whose prepared branches
   * outlive the process (PostgreSQL, or whatever lists them by `recover`). After a crash such branches hold their locks, and
   * no one knows what was decided; so without this the start is refused (`DTC_DURABLE_LOG_NEEDED`).
   *
   * @default false
   */
  readonly allowMemoryLog?: boolean;
  /** Where the one line at the end of each transaction goes. @default Nest's logger */
  readonly lines?: TransactionLines;
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } =
  new ConfigurableModuleBuilder<CoordinatorModuleOptions>()
    .setClassMethodName('forRoot')
    .setExtras({ isGlobal: true }, (definition, { isGlobal }) => ({ ...definition, global: isGlobal }))
    .build();

import { z } from 'zod';
import { describeIssues } from '../coordinator/describe-issues.js';
import { InvalidOptionsError } from '../coordinator/errors.js';
import { durationMs } from '../coordinator/option-fields.js';

const atOnce = z.number().int().min(1).max(1_000);

/**
 * The settings of a relay, each with its text, its limits and its default. The docstrings of {@link
 * RelaySettings} and the table in docs/messages.md are generated from it: `UPDATE_DOCS=1 npx vitest run
 * test/docs`.
 *
 * @internal
 */
export const relaySettingsSchema = z.strictObject({
  relay: z
    .boolean()
    .default(true)
    .describe(
      'Whether this process sends messages. With `false` it only writes them, and another process sends them.',
    ),
  pollIntervalMs: durationMs
    .default(200)
    .describe('How often the relay looks for messages while it finds none.'),
  batchSize: atOnce.default(50).describe('The most messages that one statement takes from the database.'),
  maxInFlight: atOnce.default(50).describe('The most messages that are sent at the same time.'),
  sendTimeoutMs: durationMs
    .default(10_000)
    .describe('How long one attempt may take. Then it has failed, and its signal is aborted.'),
  maxAttempts: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(20)
    .describe(
      'After this number of failed attempts a message is dead. With the default pauses that takes about an hour.',
    ),
  retryMinMs: durationMs
    .default(1_000)
    .describe(
      'The pause after the first failed attempt. Each later one is twice as long, and a random part of it is left out.',
    ),
  retryMaxMs: durationMs.default(300_000).describe('The longest pause between two attempts.'),
  retainSentMs: durationMs
    .default(3_600_000)
    .describe('How long a message that was sent stays in the table. Then it is deleted.'),
  purgeIntervalMs: durationMs
    .default(60_000)
    .describe('How often such messages are deleted, at most 100,000 each time.'),
  countIntervalMs: durationMs
    .default(5_000)
    .describe('How often the messages are counted, for metrics and health.'),
  shutdownGraceMs: durationMs
    .default(10_000)
    .describe(
      'How long a shutdown waits for attempts under way. Then their signals are aborted, and they are made again later.',
    ),
});

/** The optional settings of a relay. Each has a default. @publicApi */
export interface RelaySettings {
  // options: made from the code
  /**
   * Whether this process sends messages. With `false` it only writes them, and another process sends them.
   *
   * @default true
   */
  readonly relay?: boolean | undefined;
  /**
   * How often the relay looks for messages while it finds none. In milliseconds, from 1 to 86_400_000.
   *
   * @default 200
   */
  readonly pollIntervalMs?: number | undefined;
  /**
   * The most messages that one statement takes from the database. From 1 to 1_000.
   *
   * @default 50
   */
  readonly batchSize?: number | undefined;
  /**
   * The most messages that are sent at the same time. From 1 to 1_000.
   *
   * @default 50
   */
  readonly maxInFlight?: number | undefined;
  /**
   * How long one attempt may take. Then it has failed, and its signal is aborted. In milliseconds, from 1 to
   * 86_400_000.
   *
   * @default 10_000
   */
  readonly sendTimeoutMs?: number | undefined;
  /**
   * After this number of failed attempts a message is dead. With the default pauses that takes about an hour.
   * From 1 to 1_000.
   *
   * @default 20
   */
  readonly maxAttempts?: number | undefined;
  /**
   * The pause after the first failed attempt. Each later one is twice as long, and a random part of it is
   * left out. In milliseconds, from 1 to 86_400_000.
   *
   * @default 1_000
   */
  readonly retryMinMs?: number | undefined;
  /**
   * The longest pause between two attempts. In milliseconds, from 1 to 86_400_000.
   *
   * @default 300_000
   */
  readonly retryMaxMs?: number | undefined;
  /**
   * How long a message that was sent stays in the table. Then it is deleted. In milliseconds, from 1 to
   * 86_400_000.
   *
   * @default 3_600_000
   */
  readonly retainSentMs?: number | undefined;
  /**
   * How often such messages are deleted, at most 100,000 each time. In milliseconds, from 1 to 86_400_000.
   *
   * @default 60_000
   */
  readonly purgeIntervalMs?: number | undefined;
  /**
   * How often the messages are counted, for metrics and health. In milliseconds, from 1 to 86_400_000.
   *
   * @default 5_000
   */
  readonly countIntervalMs?: number | undefined;
  /**
   * How long a shutdown waits for attempts under way. Then their signals are aborted, and they are made again
   * later. In milliseconds, from 1 to 86_400_000.
   *
   * @default 10_000
   */
  readonly shutdownGraceMs?: number | undefined;
  // /options
}

/** Every setting, with its default if it was not given. @publicApi */
export type ResolvedRelaySettings = {
  readonly [Setting in keyof RelaySettings]-?: NonNullable<RelaySettings[Setting]>;
};

/** @throws InvalidOptionsError when a setting is unknown or impossible. */
export function resolveRelaySettings(settings: RelaySettings): ResolvedRelaySettings {
  const result = relaySettingsSchema.safeParse(settings);
  if (!result.success) throw new InvalidOptionsError('OutboxModule', describeIssues(result.error));
  const { retryMinMs, retryMaxMs } = result.data;
  if (retryMinMs > retryMaxMs) {
    throw new InvalidOptionsError('OutboxModule', [
      `retryMinMs: must not be above retryMaxMs, and ${retryMinMs} is above ${retryMaxMs}`,
    ]);
  }
  return result.data;
}

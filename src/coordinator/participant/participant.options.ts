import { z } from 'zod';
import { describeIssues } from '../describe-issues.js';
import type { ResolvedCoordinatorOptions } from '../coordinator.options.js';
import { InvalidOptionsError } from '../errors.js';
import { durationMs, plainName } from '../option-fields.js';

/**
 * The options of `@Participant`, each with its text and its limits. An option that is left out comes from the
 * coordinator's options. The docstrings of {@link ParticipantOptions} and the table in docs/options.md are
 * generated from it.
 */
export const participantOptionsSchema = z.strictObject({
  name: plainName.describe(
    'The name of the participant in branches, logs and metrics. It must stay the same after a restart.',
  ),
  prepareTimeoutMs: durationMs.optional().describe('The time limit of this participant for prepare.'),
  completionTimeoutMs: durationMs
    .optional()
    .describe('The time limit of one attempt to commit or roll back at this participant.'),
  maxAttempts: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .optional()
    .describe(
      'The number of attempts to complete a branch of this participant before the branch is stalled.',
    ),
  retryBaseMs: durationMs
    .optional()
    .describe('The longest pause after the first failed attempt. It doubles with each further attempt.'),
  retryCapMs: durationMs.optional().describe('The longest pause between two attempts.'),
  ambient: z
    .boolean()
    .default(false)
    .describe(
      'Whether the transaction is ambient inside the methods, so that `TransactionManager.current()` finds it. This costs about ' +
        'a quarter of a microsecond.',
    ),
  lastResource: z
    .boolean()
    .default(false)
    .describe(
      'Whether the service cannot prepare: its class implements `LastResource`, its commit is the decision, and a transaction has ' +
        'at most one. `prepareTimeoutMs` limits each of its calls.',
    ),
});

/**
 * The options of `@Participant`. An option that is left out comes from the coordinator's options.
 *
 * @publicApi
 */
export interface ParticipantOptions {
  // options: made from the code
  /**
   * The name of the participant in branches, logs and metrics. It must stay the same after a restart. 1 to 32
   * characters of a-z, 0-9 and -, beginning with a letter.
   */
  readonly name: string;
  /**
   * The time limit of this participant for prepare. In milliseconds, from 1 to 86_400_000.
   *
   * @default the coordinator's `prepareTimeoutMs`
   */
  readonly prepareTimeoutMs?: number | undefined;
  /**
   * The time limit of one attempt to commit or roll back at this participant. In milliseconds, from 1 to
   * 86_400_000.
   *
   * @default the coordinator's `completionTimeoutMs`
   */
  readonly completionTimeoutMs?: number | undefined;
  /**
   * The number of attempts to complete a branch of this participant before the branch is stalled. From 1 to
   * 1_000.
   *
   * @default the coordinator's `maxAttempts`
   */
  readonly maxAttempts?: number | undefined;
  /**
   * The longest pause after the first failed attempt. It doubles with each further attempt. In milliseconds,
   * from 1 to 86_400_000.
   *
   * @default the coordinator's `retryBaseMs`
   */
  readonly retryBaseMs?: number | undefined;
  /**
   * The longest pause between two attempts. In milliseconds, from 1 to 86_400_000.
   *
   * @default the coordinator's `retryCapMs`
   */
  readonly retryCapMs?: number | undefined;
  /**
   * Whether the transaction is ambient inside the methods, so that `TransactionManager.current()` finds it.
   * This costs about a quarter of a microsecond.
   *
   * @default false
   */
  readonly ambient?: boolean | undefined;
  /**
   * Whether the service cannot prepare: its class implements `LastResource`, its commit is the decision, and
   * a transaction has at most one. `prepareTimeoutMs` limits each of its calls.
   *
   * @default false
   */
  readonly lastResource?: boolean | undefined;
  // /options
}

/** The options of one participant, complete. @publicApi */
export interface ResolvedParticipantOptions {
  readonly name: string;
  readonly prepareTimeoutMs: number;
  readonly completionTimeoutMs: number;
  readonly maxAttempts: number;
  readonly retryBaseMs: number;
  readonly retryCapMs: number;
  readonly ambient: boolean;
  readonly lastResource: boolean;
}

/**
 * Completes a participant's options with those of the coordinator.
 *
 * @throws InvalidOptionsError when an option is unknown or has an impossible value.
 */
export function resolveParticipantOptions(
  options: ParticipantOptions,
  className: string,
  coordinator: ResolvedCoordinatorOptions,
): ResolvedParticipantOptions {
  const parsed = participantOptionsSchema.safeParse(options);
  if (!parsed.success)
    throw new InvalidOptionsError(`@Participant on ${className}`, describeIssues(parsed.error));
  const given = parsed.data;
  return Object.freeze({
    name: given.name,
    prepareTimeoutMs: given.prepareTimeoutMs ?? coordinator.prepareTimeoutMs,
    completionTimeoutMs: given.completionTimeoutMs ?? coordinator.completionTimeoutMs,
    maxAttempts: given.maxAttempts ?? coordinator.maxAttempts,
    retryBaseMs: given.retryBaseMs ?? coordinator.retryBaseMs,
    retryCapMs: given.retryCapMs ?? coordinator.retryCapMs,
    ambient: given.ambient,
    lastResource: given.lastResource,
  });
}

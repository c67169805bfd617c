import { z } from 'zod';
import { describeIssues } from './describe-issues.js';
import { InvalidOptionsError } from './errors.js';
import { durationMs, httpAddress, plainName } from './option-fields.js';
import { MAX_BRANCH_SET } from './protocol/index.js';

/**
 * Every option of the coordinator, with its text, its limits and its default. The docstrings of {@link
 * CoordinatorOptions} and the table in docs/options.md are generated from it: `UPDATE_DOCS=1 npx vitest run
 * test/docs`.
 *
 * @internal
 */
export const coordinatorOptionsSchema = z.strictObject({
  name: plainName
    .default('coordinator')
    .describe(
      'The name of this coordinator. It must stay the same after a restart. Every transaction id begins with it.',
    ),
  timeoutMs: durationMs
    .default(5_000)
    .describe('The time limit of a transaction until its decision. Then it is aborted.'),
  prepareTimeoutMs: durationMs
    .default(2_000)
    .describe('The time limit of a participant for prepare. Then the transaction is aborted.'),
  completionTimeoutMs: durationMs
    .default(2_000)
    .describe('The time limit of one attempt to commit or roll back a branch. Then it is tried again.'),
  completionWaitMs: durationMs
    .default(3_000)
    .describe(
      'How long the caller of a decided transaction waits for its completion before it is told `pending`.',
    ),
  expiryMarginMs: durationMs
    .default(1_000)
    .describe(
      'A transaction is aborted this long before a vote expires, unless commit has been sent to the log by then. It is the time ' +
        'that the log and the commit may need.',
    ),
  expiryWarningMs: durationMs
    .default(60_000)
    .describe(
      'If a branch is not completed this long before its vote expires, that is reported. At most half of the time for which the vote holds counts.',
    ),
  maxAttempts: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(5)
    .describe(
      'The number of attempts to complete a branch before it is stalled and left to the recovery job.',
    ),
  retryBaseMs: durationMs
    .default(50)
    .describe(
      'The longest pause after the first failed attempt. It doubles with each further attempt. The pause is a random time ' +
        'from 0 to that length (full jitter).',
    ),
  retryCapMs: durationMs.default(5_000).describe('The longest pause between two attempts.'),
  recoveryIntervalMs: durationMs
    .default(5_000)
    .describe('How often the recovery job tries the stalled branches.'),
  recoveryConcurrency: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(50)
    .describe('The most stalled branches of one participant that the recovery job tries at the same time.'),
  orphanSafetyMs: durationMs
    .default(10_000)
    .describe(
      'How long a branch of an earlier run must have been listed as prepared, without a decision, before it is rolled back.',
    ),
  sweepIntervalMs: durationMs
    .default(10)
    .describe('How often deadlines are checked, and so how late a time-out or a retry may be.'),
  maxBranches: z
    .number()
    .int()
    .min(1)
    .max(MAX_BRANCH_SET)
    .default(10)
    .describe('The most branches of a transaction.'),
  maxInFlight: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe('The most transactions in flight. Further transactions are refused before anything starts.'),
  maxQueued: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .optional()
    .meta({
      description:
        'The most transactions that wait for room at a database server. They wait for at most a quarter of their time. ' +
        'Further transactions are refused before anything starts.',
      derivedDefault: 'as many as the server takes at once',
    }),
  maxGroupMembers: z
    .number()
    .int()
    .min(1)
    .max(1_000)
    .default(64)
    .describe(
      'The most transactions in one group, at participants that take part in groups. With 1 there are no groups.',
    ),
  maxGroupBytes: z
    .number()
    .int()
    .min(1)
    .max(1_000_000_000)
    .default(1_048_576)
    .describe(
      'The most bytes of the payloads of one group, as JSON. A transaction with more than that runs on its own.',
    ),
  maxStalled: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(10_000)
    .describe(
      'The most transactions that are stalled or hold a heuristic report. Beyond it, a transaction that names a ' +
        'participant with such branches is refused.',
    ),
  retainFinished: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(1_000)
    .describe('The most finished transactions that are kept for display.'),
  retainFinishedMs: durationMs
    .default(300_000)
    .describe('How long a finished transaction is kept for display.'),
  retainRemarkableMs: durationMs
    .default(3_600_000)
    .describe(
      'How long a finished transaction is kept for display that has failed, was slow or pending, or on which an operator has acted. At ' +
        'most `retainFinished` of them are kept, apart from the others.',
    ),
  maxLinesOfKind: z
    .number()
    .int()
    .min(1)
    .max(1_000_000)
    .default(50)
    .describe(
      'The most log lines of one kind about one participant in ten seconds, such as failed attempts. Those left out are counted in a ' +
        'line at the end of that time, and in a metric. Never left out: the end of a transaction, a heuristic report, damage.',
    ),
  shutdownPauseMs: z
    .number()
    .int()
    .min(0)
    .max(86_400_000)
    .default(0)
    .describe(
      'How long a shutdown still takes new transactions, while readiness says that no more should be sent here. Load balancers need ' +
        'some seconds to notice.',
    ),
  shutdownGraceMs: durationMs
    .default(10_000)
    .describe('How long a shutdown waits for the transactions in flight.'),
  leaseMs: durationMs
    .default(5_000)
    .describe(
      'For how long a member of a shared log counts as alive after it has renewed its lease, which it does every fifth of ' +
        'this time. All members need the same value.',
    ),
  memberName: z
    .string()
    .max(200)
    .default('')
    .describe('The name of this member of a shared log, for people: such as that of its host.'),
  memberAddress: httpAddress.optional().meta({
    description:
      'The URL at which the other members of a shared log reach the routes of OperationsModule of this member. It must lead to this process alone.',
    derivedDefault: 'none: the others cannot ask this member',
  }),
});

/**
 * The options of the coordinator. Each has a default.
 *
 * @publicApi
 */
export interface CoordinatorOptions {
  // options: made from the code
  /**
   * The name of this coordinator. It must stay the same after a restart. Every transaction id begins with it.
   * 1 to 32 characters of a-z, 0-9 and -, beginning with a letter.
   *
   * @default 'coordinator'
   */
  readonly name?: string | undefined;
  /**
   * The time limit of a transaction until its decision. Then it is aborted. In milliseconds, from 1 to
   * 86_400_000.
   *
   * @default 5_000
   */
  readonly timeoutMs?: number | undefined;
  /**
   * The time limit of a participant for prepare. Then the transaction is aborted. In milliseconds, from 1 to
   * 86_400_000.
   *
   * @default 2_000
   */
  readonly prepareTimeoutMs?: number | undefined;
  /**
   * The time limit of one attempt to commit or roll back a branch. Then it is tried again. In milliseconds,
   * from 1 to 86_400_000.
   *
   * @default 2_000
   */
  readonly completionTimeoutMs?: number | undefined;
  /**
   * How long the caller of a decided transaction waits for its completion before it is told `pending`. In
   * milliseconds, from 1 to 86_400_000.
   *
   * @default 3_000
   */
  readonly completionWaitMs?: number | undefined;
  /**
   * A transaction is aborted this long before a vote expires, unless commit has been sent to the log by then.
   * It is the time that the log and the commit may need. In milliseconds, from 1 to 86_400_000.
   *
   * @default 1_000
   */
  readonly expiryMarginMs?: number | undefined;
  /**
   * If a branch is not completed this long before its vote expires, that is reported. At most half of the
   * time for which the vote holds counts. In milliseconds, from 1 to 86_400_000.
   *
   * @default 60_000
   */
  readonly expiryWarningMs?: number | undefined;
  /**
   * The number of attempts to complete a branch before it is stalled and left to the recovery job. From 1 to
   * 1_000.
   *
   * @default 5
   */
  readonly maxAttempts?: number | undefined;
  /**
   * The longest pause after the first failed attempt. It doubles with each further attempt. The pause is a
   * random time from 0 to that length (full jitter). In milliseconds, from 1 to 86_400_000.
   *
   * @default 50
   */
  readonly retryBaseMs?: number | undefined;
  /**
   * The longest pause between two attempts. In milliseconds, from 1 to 86_400_000.
   *
   * @default 5_000
   */
  readonly retryCapMs?: number | undefined;
  /**
   * How often the recovery job tries the stalled branches. In milliseconds, from 1 to 86_400_000.
   *
   * @default 5_000
   */
  readonly recoveryIntervalMs?: number | undefined;
  /**
   * The most stalled branches of one participant that the recovery job tries at the same time. From 1 to
   * 1_000.
   *
   * @default 50
   */
  readonly recoveryConcurrency?: number | undefined;
  /**
   * How long a branch of an earlier run must have been listed as prepared, without a decision, before it is
   * rolled back. In milliseconds, from 1 to 86_400_000.
   *
   * @default 10_000
   */
  readonly orphanSafetyMs?: number | undefined;
  /**
   * How often deadlines are checked, and so how late a time-out or a retry may be. In milliseconds, from 1 to
   * 86_400_000.
   *
   * @default 10
   */
  readonly sweepIntervalMs?: number | undefined;
  /**
   * The most branches of a transaction. From 1 to 30.
   *
   * @default 10
   */
  readonly maxBranches?: number | undefined;
  /**
   * The most transactions in flight. Further transactions are refused before anything starts. From 1 to
   * 1_000_000.
   *
   * @default 10_000
   */
  readonly maxInFlight?: number | undefined;
  /**
   * The most transactions that wait for room at a database server. They wait for at most a quarter of their
   * time. Further transactions are refused before anything starts. From 0 to 1_000_000.
   *
   * @default as many as the server takes at once
   */
  readonly maxQueued?: number | undefined;
  /**
   * The most transactions in one group, at participants that take part in groups. With 1 there are no groups.
   * From 1 to 1_000.
   *
   * @default 64
   */
  readonly maxGroupMembers?: number | undefined;
  /**
   * The most bytes of the payloads of one group, as JSON. A transaction with more than that runs on its own.
   * From 1 to 1_000_000_000.
   *
   * @default 1_048_576
   */
  readonly maxGroupBytes?: number | undefined;
  /**
   * The most transactions that are stalled or hold a heuristic report. Beyond it, a transaction that names a
   * participant with such branches is refused. From 1 to 1_000_000.
   *
   * @default 10_000
   */
  readonly maxStalled?: number | undefined;
  /**
   * The most finished transactions that are kept for display. From 0 to 1_000_000.
   *
   * @default 1_000
   */
  readonly retainFinished?: number | undefined;
  /**
   * How long a finished transaction is kept for display. In milliseconds, from 1 to 86_400_000.
   *
   * @default 300_000
   */
  readonly retainFinishedMs?: number | undefined;
  /**
   * How long a finished transaction is kept for display that has failed, was slow or pending, or on which an
   * operator has acted. At most `retainFinished` of them are kept, apart from the others. In milliseconds,
   * from 1 to 86_400_000.
   *
   * @default 3_600_000
   */
  readonly retainRemarkableMs?: number | undefined;
  /**
   * The most log lines of one kind about one participant in ten seconds, such as failed attempts. Those left
   * out are counted in a line at the end of that time, and in a metric. Never left out: the end of a
   * transaction, a heuristic report, damage. From 1 to 1_000_000.
   *
   * @default 50
   */
  readonly maxLinesOfKind?: number | undefined;
  /**
   * How long a shutdown still takes new transactions, while readiness says that no more should be sent here.
   * Load balancers need some seconds to notice. In milliseconds, from 0 to 86_400_000.
   *
   * @default 0
   */
  readonly shutdownPauseMs?: number | undefined;
  /**
   * How long a shutdown waits for the transactions in flight. In milliseconds, from 1 to 86_400_000.
   *
   * @default 10_000
   */
  readonly shutdownGraceMs?: number | undefined;
  /**
   * For how long a member of a shared log counts as alive after it has renewed its lease, which it does every
   * fifth of this time. All members need the same value. In milliseconds, from 1 to 86_400_000.
   *
   * @default 5_000
   */
  readonly leaseMs?: number | undefined;
  /**
   * The name of this member of a shared log, for people: such as that of its host.
   *
   * @default ''
   */
  readonly memberName?: string | undefined;
  /**
   * The URL at which the other members of a shared log reach the routes of OperationsModule of this member.
   * It must lead to this process alone.
   *
   * @default none: the others cannot ask this member
   */
  readonly memberAddress?: string | undefined;
  // /options
}

/** Every option, with its default if it was not given. @publicApi */
export type ResolvedCoordinatorOptions = Pick<CoordinatorOptions, 'maxQueued' | 'memberAddress'> & {
  readonly [Option in keyof Omit<CoordinatorOptions, 'maxQueued' | 'memberAddress'>]-?: NonNullable<
    CoordinatorOptions[Option]
  >;
};

/**
 * Adds the defaults, once, for the whole coordinator.
 *
 * @throws InvalidOptionsError when an option is unknown or has an impossible value.
 */
export function resolveCoordinatorOptions(options: CoordinatorOptions = {}): ResolvedCoordinatorOptions {
  const parsed = coordinatorOptionsSchema.safeParse(options);
  if (!parsed.success) throw new InvalidOptionsError('CoordinatorModule', describeIssues(parsed.error));
  return Object.freeze(parsed.data);
}

import { z } from 'zod';
import { describeIssues } from '../describe-issues.js';
import { InvalidOptionsError } from '../errors.js';
import { durationMs } from '../option-fields.js';

/** The propagations that may begin a transaction, and those that never do. */
const BEGINNING = ['required', 'requires-new'] as const satisfies readonly Propagation[];
const NOT_BEGINNING = [
  'supports',
  'mandatory',
  'never',
  'not-supported',
] as const satisfies readonly Propagation[];

/**
 * How a decorated method treats the ambient transaction of its caller:
 * - `required` joins it, and begins one if there is none;
 * - `requires-new` always begins one of its own, which commits or rolls back independently of the caller's;
 * - `supports` joins it, and runs without one if there is none;
 * - `mandatory` joins it, and refuses to run without one;
 * - `never` refuses to run within one;
 * - `not-supported` runs without one: the ambient transaction is hidden meanwhile.
 *
 * @publicApi
 */
export type Propagation = 'required' | 'requires-new' | 'supports' | 'mandatory' | 'never' | 'not-supported';

/** The options of `@DistributedTransaction` with a propagation that may begin a transaction. @publicApi */
export interface BeginningOptions {
  /** @default 'required' */
  readonly propagation?: 'required' | 'requires-new';
  /**
   * The purpose of the transaction, in logs and listings: at most 100 characters. Without effect when the
   * method joins one.
   *
   * @default the name of the class and the method: `Checkout.place`
   */
  readonly name?: string;
  /**
   * The time limit of the transaction until its decision, in milliseconds, from 1 to 86_400_000. The whole
   * method counts. Without effect when the method joins a transaction, which keeps its deadline.
   *
   * @default the coordinator's `timeoutMs`
   */
  readonly timeoutMs?: number;
  /**
   * Whether the participants prepare one after the other, in the order in which they were enlisted, as for
   * `TransactionManager.begin`. Without effect when the method joins a transaction.
   *
   * @default false
   */
  readonly prepareInTurn?: boolean;
}

/** The options of `@DistributedTransaction` with a propagation that never begins a transaction. @publicApi */
export interface JoiningOptions {
  readonly propagation: 'supports' | 'mandatory' | 'never' | 'not-supported';
}

/** The options of `@DistributedTransaction`. @publicApi */
export type DistributedTransactionOptions = BeginningOptions | JoiningOptions;

const schema = z.discriminatedUnion('propagation', [
  z.strictObject({
    propagation: z.enum(BEGINNING).optional(),
    name: z.string().max(100).optional(),
    timeoutMs: durationMs.optional(),
    prepareInTurn: z.boolean().optional(),
  }),
  z.strictObject({ propagation: z.enum(NOT_BEGINNING) }),
]);

/**
 * @param method the class and the method.
 * @throws InvalidOptionsError when an option is unknown, impossible or without any effect.
 */
export function checkMethodOptions(options: DistributedTransactionOptions, method: string): void {
  const parsed = schema.safeParse(options);
  if (parsed.success) return;
  throw new InvalidOptionsError(`@DistributedTransaction on ${method}`, describeIssues(parsed.error));
}

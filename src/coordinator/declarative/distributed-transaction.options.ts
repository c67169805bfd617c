import { z } from 'zod';
import { describeIssues } from '../describe-issues.js';
import { InvalidOptionsError } from '../errors.js';
import { durationMs } from '../option-fields.js';
import type { CommittedOutcome } from '../outcome.js';
import type { Attributes } from '../participant/transaction-request.js';

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

/**
 * The options of `@DistributedTransaction` with a propagation that may begin a transaction.
 *
 * @typeParam A the parameters of the method, as far as `key` and `repeated` read them.
 * @typeParam R what `repeated` returns.
 * @publicApi
 */
export interface BeginningOptions<A extends unknown[] = unknown[], R = never> {
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
  /**
   * The keys of the business of a call, as for `TransactionManager.begin`: it gets the arguments of the
   * method, and `this` is the object. It runs outside of any transaction. Without effect when the method
   * joins a transaction.
   *
   * @default none
   */
  readonly attributes?: (...args: A) => Attributes;
  /**
   * The id of the request that a call belongs to, as for `TransactionManager.begin`: it gets the arguments of
   * the method, and `this` is the object. It runs outside of any transaction. Without effect when the method
   * joins a transaction.
   *
   * @default none
   */
  readonly requestId?: (...args: A) => string | undefined;
  /**
   * What tells a call from all other calls of the coordinator: it gets the arguments of the method, and
   * `this` is the object. It runs outside of any transaction. Of the calls with one key only one commits,
   * while the coordinator keeps the key: a later one does not run the method, see `repeated`. Once the
   * transaction has aborted, the key is free. 1 to 128 visible ASCII characters. Without effect when the
   * method joins a transaction.
   *
   * @default the call has no key: each one runs
   */
  readonly key?: (...args: A) => string;
  /**
   * The value of a call whose key belongs to an earlier call that has committed: it gets the outcome of that
   * one, and the arguments. It runs outside of any transaction, and `this` is the object. Only with `key`.
   *
   * @default such a call throws RepeatedCallError
   */
  readonly repeated?: (outcome: CommittedOutcome, ...args: A) => R;
}

/** The options of `@DistributedTransaction` with a propagation that never begins a transaction. @publicApi */
export interface JoiningOptions {
  readonly propagation: 'supports' | 'mandatory' | 'never' | 'not-supported';
}

/** The options of `@DistributedTransaction`. @publicApi */
export type DistributedTransactionOptions<A extends unknown[] = unknown[], R = never> =
  BeginningOptions<A, R> | JoiningOptions;

/** The options of any method, with any parameters and any result. */
export type AnyMethodOptions = DistributedTransactionOptions<unknown[], unknown>;

/** An error of the compiler where `key` or `repeated` does not fit the method. @publicApi */
export type FitsMethod<A extends unknown[], R, M extends (...args: never[]) => Promise<unknown>> = ((
  ...args: A
) => unknown) extends (...args: Parameters<M>) => unknown
  ? [R] extends [ReturnType<M> | Awaited<ReturnType<M>>]
    ? unknown
    : { readonly 'repeated returns another type than the method': never }
  : { readonly 'key and repeated take other parameters than the method': never };

const aFunction = z.custom<(...args: unknown[]) => unknown>(
  (value) => typeof value === 'function',
  'must be a function',
);

const schema = z.discriminatedUnion('propagation', [
  z
    .strictObject({
      propagation: z.enum(BEGINNING).optional(),
      name: z.string().max(100).optional(),
      timeoutMs: durationMs.optional(),
      prepareInTurn: z.boolean().optional(),
      attributes: aFunction.optional(),
      requestId: aFunction.optional(),
      key: aFunction.optional(),
      repeated: aFunction.optional(),
    })
    .refine(({ key, repeated }) => repeated === undefined || key !== undefined, {
      path: ['repeated'],
      message: 'has no effect without key',
    }),
  z.strictObject({ propagation: z.enum(NOT_BEGINNING) }),
]);

/**
 * @param method the class and the method.
 * @throws InvalidOptionsError when an option is unknown, impossible or without any effect.
 */
export function checkMethodOptions(options: AnyMethodOptions, method: string): void {
  const parsed = schema.safeParse(options);
  if (parsed.success) return;
  throw new InvalidOptionsError(`@DistributedTransaction on ${method}`, describeIssues(parsed.error));
}

import type { FactoryProvider, ModuleMetadata } from '@nestjs/common';
import { z } from 'zod';
import { describeIssues } from '../coordinator/describe-issues.js';
import { InvalidOptionsError } from '../coordinator/errors.js';
import { type TlsSource, problemsOfTls } from '../hop/index.js';
import type { Credentials } from '../remote/wire/bearer.js';

const MIN_TOKEN_LENGTH = 16;

const address = z
  .string()
  .max(2_000)
  .regex(
    /^https?:\/\/[^\s?#@]+$/,
    'must be the URL of a member with its prefix, such as http://coordinator:3000/dtc',
  )
  .transform((url) => url.replace(/\/+$/, ''));

const limitsSchema = z.strictObject({
  members: z.array(address).min(1).max(32),
  giveUpAfterMs: z.number().int().min(1).max(300_000).default(60_000),
  attemptTimeoutMs: z.number().int().min(1).max(300_000).default(15_000),
  retryBaseMs: z.number().int().min(1).max(60_000).default(50),
  retryCapMs: z.number().int().min(1).max(60_000).default(2_000),
  maxConnections: z.number().int().min(1).max(10_000).default(128),
  maxAnswerBytes: z.number().int().min(1_024).max(67_108_864).default(1_048_576),
});

/**
 * A token, or a function that returns the present one: it is called at each request. Of several tokens the
 * first is sent, and all are accepted. `credentialsFrom` makes one from a file.
 *
 * @publicApi
 */
export type TokenSource = Credentials;

/** A service that may carry transactions to this one. @publicApi */
export interface CarrierCredential {
  /** For log lines and errors. */
  readonly name: string;
  /** Sent as `dtc-authorization: Bearer <token>`. At least 16 characters. */
  readonly token: TokenSource;
}

/** How a service reaches the coordinator, and which services may carry transactions to it. @publicApi */
export interface TransactionClientOptions {
  /**
   * The URLs of the members of one coordinator, each with its prefix: `http://coordinator-1:3000/dtc`. 1 to
   * 32.
   */
  readonly members: readonly string[];
  /** The token of this service, which has the role `caller` at the coordinator. */
  readonly token: TokenSource;
  /** After how long a request is given up that no member has answered, in milliseconds. @default 60_000 */
  readonly giveUpAfterMs?: number | undefined;
  /**
   * After how long one try counts as lost, and the request is sent again with its key, in milliseconds.
   *
   * @default 15_000
   */
  readonly attemptTimeoutMs?: number | undefined;
  /**
   * The pause before the second round of tries, in milliseconds. It doubles, with full jitter.
   *
   * @default 50
   */
  readonly retryBaseMs?: number | undefined;
  /** The longest pause, in milliseconds. @default 2_000 */
  readonly retryCapMs?: number | undefined;
  /** The most requests to one member at the same time. Others wait. @default 128 */
  readonly maxConnections?: number | undefined;
  /** The most bytes of an answer. @default 1_048_576 */
  readonly maxAnswerBytes?: number | undefined;
  /**
   * Certificates for https: `ca`, `cert`, `key`, `servername`, or a function such as that of `tlsFrom`.
   *
   * @default those of Node
   */
  readonly tls?: TlsSource | undefined;
  /**
   * The services that may carry transactions to controllers with `@JoinsTransactions`; or a function that
   * returns the present list, and the same one until it changes.
   *
   * @default none
   */
  readonly carriers?: readonly CarrierCredential[] | (() => readonly CarrierCredential[]) | undefined;
  /**
   * What this service sends along with its own requests.
   *
   * @default nothing
   */
  readonly carry?: CarryOptions | undefined;
}

/** To whom this service carries its transactions, and with which credential. @publicApi */
export interface CarryOptions {
  /** The token that the receiving services know. */
  readonly token: TokenSource;
  /**
   * The origins of the receiving services, such as `http://inventory:3000`. The token is sent to no other.
   */
  readonly origins: readonly string[];
}

/** The options of `TransactionClientModule.forRootAsync`. @publicApi */
export interface TransactionClientAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  readonly inject?: FactoryProvider['inject'];
  /** @returns the options. */
  readonly useFactory: (
    // oxlint-disable-next-line typescript/no-explicit-any -- what is injected has the types that the factory asks for
    ...dependencies: any[]
  ) => TransactionClientOptions | Promise<TransactionClientOptions>;
}

/** The options with their defaults. */
export interface ResolvedClientOptions extends z.output<typeof limitsSchema> {
  readonly token: () => string;
  readonly tls: TlsSource | undefined;
  readonly carriers: () => readonly CarrierCredential[];
  readonly carry: CarryOptions | undefined;
}

/** @throws InvalidOptionsError when an option is unknown, missing or impossible. No token is quoted. */
export function resolveClientOptions(given: TransactionClientOptions): ResolvedClientOptions {
  if (typeof given !== 'object' || given === null) {
    throw new InvalidOptionsError('TransactionClientModule', [
      'must be an object, such as { members, token }',
    ]);
  }
  const { token, tls, carriers = [], carry, ...rest } = given;
  const defined = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
  const parsed = limitsSchema.safeParse(defined);
  const list = typeof carriers === 'function' ? carriers() : carriers;
  const problems = [
    ...(parsed.success ? [] : describeIssues(parsed.error)),
    ...problemsOfToken('token', token),
    ...problemsOfTls(tls, 'tls'),
    ...problemsOfCarriers(list),
    ...(carry === undefined ? [] : problemsOfCarry(carry)),
  ];
  if (!parsed.success || problems.length > 0)
    throw new InvalidOptionsError('TransactionClientModule', problems);
  return {
    ...parsed.data,
    token: tokenFrom(token),
    tls,
    carriers: typeof carriers === 'function' ? carriers : () => carriers,
    carry,
  };
}

export function tokenFrom(source: TokenSource): () => string {
  return () => tokensFrom(source)[0] ?? '';
}

/** @returns the tokens that are accepted now. */
export function tokensFrom(source: TokenSource): readonly string[] {
  const given = typeof source === 'function' ? source() : source;
  return typeof given === 'string' ? [given] : given;
}

/** @throws InvalidOptionsError */
export function checkCarry(carry: CarryOptions): void {
  const problems = problemsOfCarry(carry);
  if (problems.length > 0) throw new InvalidOptionsError('TransactionCarrier', problems);
}

function isOrigin(text: unknown): boolean {
  return typeof text === 'string' && URL.canParse(text) && new URL(text).origin === text;
}

function problemsOfCarry({ token, origins }: CarryOptions): string[] {
  return [
    ...problemsOfToken('carry.token', token),
    ...(Array.isArray(origins) && origins.every(isOrigin)
      ? []
      : ['carry.origins: must be a list of origins without a path, such as ["http://inventory:3000"]']),
  ];
}

function problemsOfCarriers(carriers: unknown): string[] {
  if (!Array.isArray(carriers)) return ['carriers: must be a list of credentials, { name, token }'];
  return carriers.flatMap((carrier: unknown, index) => {
    const { name, token } = (carrier ?? {}) as { name?: unknown; token?: unknown };
    return [
      ...(typeof name === 'string' && name !== '' ? [] : [`carriers.${index}.name: must be a name`]),
      ...problemsOfToken(`carriers.${index}.token`, token),
    ];
  });
}

function problemsOfToken(field: string, token: unknown): string[] {
  if (typeof token === 'function') return [];
  if (token === undefined || token === '')
    return [`${field}: is missing: set the variable or the secret that holds it`];
  const tokens: unknown[] = Array.isArray(token) ? token : [token];
  const areTokens =
    tokens.length > 0 && tokens.every((each) => typeof each === 'string' && each.length >= MIN_TOKEN_LENGTH);
  return areTokens
    ? []
    : [`${field}: must be a text of at least ${MIN_TOKEN_LENGTH} characters, or a function that returns one`];
}

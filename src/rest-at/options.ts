import type { AgentOptions } from 'node:https';
import type { FactoryProvider, ModuleMetadata } from '@nestjs/common';
import { z } from 'zod';
import { InvalidOptionsError, type ParticipantOptions } from '../coordinator/index.js';
import type { Credential } from '../operations/access/access.js';
import { AllowedAddresses } from '../remote/addresses.js';

const DAY_MS = 86_400_000;
const SUBJECT = 'RestAtModule';

/**
 * How participants are called. An option that is left out comes from the coordinator's options.
 *
 * @publicApi
 */
export type RestAtCalls = Pick<
  ParticipantOptions,
  'prepareTimeoutMs' | 'completionTimeoutMs' | 'maxAttempts' | 'retryBaseMs' | 'retryCapMs'
>;

/** The callers of REST-AT, the participants that it calls, and the limits. @publicApi */
export interface RestAtSettings extends RestAtCalls {
  /**
   * Who may use REST-AT, with `Authorization: Bearer <token>`: a list of credentials, or a function that
   * returns the present one. The draft knows no credentials, so other implementations may send none: `anyone`
   * lets in everyone who reaches the port.
   */
  readonly callers: readonly Credential[] | (() => readonly Credential[]) | 'anyone';
  /**
   * The origins of participants: `https://stock.internal:8443`, `https://*.internal`. The coordinator calls
   * no other address.
   *
   * @default none, so that no participant can enlist
   */
  readonly allow?: readonly string[] | undefined;
  /**
   * The URL at which others reach these routes, with their prefix:
   * `https://coordinator.internal/rest-at-coordinator/tx`. Set it behind a proxy.
   *
   * @default that of each request, by its header Host
   */
  readonly url?: string | undefined;
  /**
   * The longest time-out, in milliseconds. A transaction without one, or with a longer one, gets this one.
   *
   * @default 60_000
   */
  readonly maxTimeoutMs?: number | undefined;
  /** The most volatile participants of one transaction. @default 10 */
  readonly maxVolatile?: number | undefined;
  /** The most connections to one origin, for each kind of call. @default 16 */
  readonly maxConnections?: number | undefined;
  /** How often ended transactions and forgotten reports are looked for, in milliseconds. @default 500 */
  readonly sweepIntervalMs?: number | undefined;
  /** Certificates for https: `ca`, `cert`, `key`. */
  readonly tls?: Pick<AgentOptions, 'ca' | 'cert' | 'key'> | undefined;
}

/** Where the routes are. @publicApi */
export interface RestAtRoutes {
  /**
   * The path before all routes of this module. The global prefix of the application comes before it.
   *
   * @default 'rest-at-coordinator/tx'
   */
  readonly prefix?: string | undefined;
}

/** The options of `RestAtModule.forRoot`. @publicApi */
export interface RestAtOptions extends RestAtSettings, RestAtRoutes {}

/** The options of `RestAtModule.forRootAsync`. @publicApi */
export interface RestAtAsyncOptions extends RestAtRoutes, Pick<ModuleMetadata, 'imports'> {
  readonly inject?: FactoryProvider['inject'];
  /** @returns the callers, the participants that it calls, and the limits. */
  // oxlint-disable-next-line typescript/no-explicit-any -- what is injected has the types that the factory asks for
  readonly useFactory: (...dependencies: any[]) => RestAtSettings | Promise<RestAtSettings>;
}

const limitsSchema = z.strictObject({
  maxTimeoutMs: z.number().int().min(1).max(DAY_MS).default(60_000),
  maxVolatile: z.number().int().min(0).max(1_000).default(10),
  maxConnections: z.number().int().min(1).max(1_024).default(16),
  sweepIntervalMs: z.number().int().min(1).max(DAY_MS).default(500),
});

/** The limits with their defaults. */
export type RestAtLimits = z.output<typeof limitsSchema>;

/** Every option, with its default where none was given. */
export interface ResolvedRestAtOptions {
  readonly callers: RestAtSettings['callers'];
  readonly allow: AllowedAddresses;
  /** Without a slash at its end. */
  readonly url: string | undefined;
  readonly calls: RestAtCalls;
  readonly limits: RestAtLimits;
  readonly tls: RestAtSettings['tls'];
}

/** @throws InvalidOptionsError when an option is unknown or impossible. */
export function resolveRestAtOptions(settings: RestAtSettings): ResolvedRestAtOptions {
  if (typeof settings !== 'object' || settings === null) {
    throw new InvalidOptionsError(SUBJECT, ['must be an object, such as { callers, allow }']);
  }
  const { callers, allow = [], url, tls, ...rest } = settings;
  const { prepareTimeoutMs, completionTimeoutMs, maxAttempts, retryBaseMs, retryCapMs, ...given } = rest;
  const problems: string[] = [];
  if (callers !== 'anyone' && typeof callers !== 'function' && !Array.isArray(callers)) {
    problems.push(
      'callers: must be a list of credentials, { name, token }, a function that returns one, or "anyone", which asks for no token',
    );
  }
  const limits = limitsSchema.safeParse(definedIn(given));
  if (!limits.success) {
    problems.push(
      ...limits.error.issues.map(({ path, message }) =>
        path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`,
      ),
    );
  }
  if (url !== undefined && !isBase(url)) {
    problems.push(
      'url: must be a URL of http or https without user, query and fragment, and without a comma',
    );
  }
  const allowed = allowedIn(allow, problems);
  if (problems.length > 0 || !limits.success || allowed === undefined)
    throw new InvalidOptionsError(SUBJECT, problems);
  return {
    callers,
    allow: allowed,
    url: url?.replace(/\/+$/, ''),
    // The registry checks them, as those of any participant.
    calls: definedIn({ prepareTimeoutMs, completionTimeoutMs, maxAttempts, retryBaseMs, retryCapMs }),
    limits: limits.data,
    tls,
  };
}

function definedIn<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T;
}

function allowedIn(allow: readonly string[], problems: string[]): AllowedAddresses | undefined {
  try {
    if (!Array.isArray(allow))
      throw new RangeError('allow: must be a list of origins, such as https://stock.internal');
    return new AllowedAddresses(allow);
  } catch (error) {
    problems.push((error as Error).message);
    return undefined;
  }
}

/** Whether links can be made of it. */
function isBase(url: unknown): boolean {
  if (typeof url !== 'string' || !/^https?:\/\/[\w.:[\]~/%-]+$/i.test(url) || !URL.canParse(url))
    return false;
  const { username, password } = new URL(url);
  return username === '' && password === '';
}

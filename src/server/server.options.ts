import type { FactoryProvider, ModuleMetadata } from '@nestjs/common';
import { z } from 'zod';
import { InvalidOptionsError } from '../coordinator/index.js';
import type { ServerAccessOptions } from './access/server-access.js';

const DAY_MS = 86_400_000;

const limitsSchema = z.strictObject({
  maxTimeoutMs: z.number().int().min(1).max(DAY_MS).default(60_000),
  maxPayloadBytes: z.number().int().min(1).max(16_777_216).default(65_536),
  keyRetentionMs: z.number().int().min(1_000).max(DAY_MS).default(600_000),
  maxKeys: z.number().int().min(1).max(10_000_000).default(1_000_000),
  maxWaiting: z.number().int().min(1).max(1_000_000).default(10_000),
});

/** The limits of the interface for callers and participants. @publicApi */
export interface ServerLimits {
  /** The longest time-out that a caller may ask for, in milliseconds. @default 60_000 */
  readonly maxTimeoutMs?: number | undefined;
  /** The most bytes of one payload, as JSON. @default 65_536 */
  readonly maxPayloadBytes?: number | undefined;
  /**
   * For how long a request key and its answer are remembered at least after the answer, in milliseconds. A
   * log that several members share keeps keys for its own retention.
   *
   * @default 600_000
   */
  readonly keyRetentionMs?: number | undefined;
  /**
   * The most request keys that are remembered. New ones are refused then, since none is forgotten early.
   *
   * @default 1_000_000
   */
  readonly maxKeys?: number | undefined;
  /** The most requests that wait for an outcome at the same time. @default 10_000 */
  readonly maxWaiting?: number | undefined;
}

/** The limits with their defaults. */
export type ResolvedServerLimits = z.output<typeof limitsSchema>;

/** Where the routes are. @publicApi */
export interface ServerRoutes {
  /**
   * The path before all routes of this module. The global prefix of the application comes before it.
   *
   * @default 'dtc'
   */
  readonly prefix?: string | undefined;
}

/** The callers with their rights, and the limits. @publicApi */
export interface ServerSettings extends ServerAccessOptions, ServerLimits {}

/** The options of `CoordinatorServerModule.forRoot`. @publicApi */
export interface CoordinatorServerOptions extends ServerSettings, ServerRoutes {}

/** The options of `CoordinatorServerModule.forRootAsync`. @publicApi */
export interface CoordinatorServerAsyncOptions extends ServerRoutes, Pick<ModuleMetadata, 'imports'> {
  readonly inject?: FactoryProvider['inject'];
  /** @returns the callers with their rights, and the limits. */
  // oxlint-disable-next-line typescript/no-explicit-any -- what is injected has the types that the factory asks for
  readonly useFactory: (...dependencies: any[]) => ServerSettings | Promise<ServerSettings>;
}

/** @throws InvalidOptionsError when an option is unknown or impossible. */
export function resolveSettings(settings: ServerSettings): {
  readonly access: ServerAccessOptions;
  readonly limits: ResolvedServerLimits;
} {
  if (typeof settings !== 'object' || settings === null) {
    throw new InvalidOptionsError('CoordinatorServerModule', ['must be an object, such as { callers }']);
  }
  const { callers, participants, readers, operators, ...given } = settings;
  const defined = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const parsed = limitsSchema.safeParse(defined);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) =>
      path.length === 0 ? message : `${path.map(String).join('.')}: ${message}`,
    );
    throw new InvalidOptionsError('CoordinatorServerModule', problems);
  }
  return { access: { callers, participants, readers, operators }, limits: parsed.data };
}

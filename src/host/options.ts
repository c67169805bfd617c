import type { CoordinatorContactOptions } from './coordinator-contact.js';
import { InvalidOptionsError } from '../coordinator/errors.js';
import type { ReplicaGuardStore } from '../coordinator/guard/index.js';
import { problemsOfTls } from '../hop/index.js';
import { type Credentials, tokensOf } from '../remote/wire/index.js';

/** The options of {@link ParticipantHostModule}. @publicApi */
export interface ParticipantHostOptions {
  /** The tokens of the coordinators that may call. Every other request is refused. */
  readonly credentials: Credentials;
  /**
   * Keeps what this host knows of its branches, in the database of its participants: `PostgresGuardStore` of
   * `nestjs-dtc/postgres`. All replicas of the host share it. `'memory'` is for participants whose data ends
   * with the process as well, and for one replica only.
   */
  readonly guard: ReplicaGuardStore | 'memory';
  /** The names of the coordinators that may call. @default every coordinator with a token */
  readonly coordinators?: readonly string[] | undefined;
  /**
   * The treatment of a commit or an undo whose process has stopped, or that takes longer than its call:
   * `repeat` runs it again, `report` reports a hazard.
   *
   * @default 'repeat'
   */
  readonly interrupted?: 'repeat' | 'report' | undefined;
  /**
   * The most calls of one participant at the same time. Further calls are told to try again.
   *
   * @default 1_000
   */
  readonly maxCalls?: number | undefined;
  /** How long a stop waits for running calls, in milliseconds. @default 10_000 */
  readonly shutdownGraceMs?: number | undefined;
  /** How often records that are no longer needed are dropped, in milliseconds. @default 60_000 */
  readonly purgeIntervalMs?: number | undefined;
  /**
   * How this host reaches its coordinator: to register its participants, and to ask for the decisions about
   * branches in doubt.
   *
   * @default it waits for the coordinator
   */
  readonly contact?: CoordinatorContactOptions | undefined;
}

/** Where the routes of a host are, which must be known before a factory is asked. @publicApi */
export interface ParticipantHostRoutes {
  /** The path of the routes, without parameters. @default 'participants' */
  readonly prefix?: string | undefined;
  /**
   * Decorators of the routes that only set metadata, such as the one by which a global guard lets them pass.
   */
  readonly decorators?: readonly ClassDecorator[] | undefined;
}

/** Every option, with its default where none was given. */
export type ResolvedHostOptions = Required<{
  readonly [K in Exclude<keyof ParticipantHostOptions, 'contact'>]: Exclude<
    ParticipantHostOptions[K],
    undefined
  >;
}> &
  Pick<ParticipantHostOptions, 'contact'>;

const KNOWN = [
  'credentials',
  'guard',
  'coordinators',
  'interrupted',
  'maxCalls',
  'shutdownGraceMs',
  'purgeIntervalMs',
  'contact',
];
const STORE_METHODS = ['read', 'insert', 'replace', 'listOpen', 'admitRun', 'raise', 'isOver', 'purge'];
const PREFIX = /^\/?[\w.~-]+(\/[\w.~-]+)*\/?$/;
const SUBJECT = 'ParticipantHostModule';

/** @throws InvalidOptionsError when an option is unknown or impossible. No token is quoted. */
export function resolveHostOptions(options: ParticipantHostOptions): ResolvedHostOptions {
  const {
    credentials,
    guard,
    coordinators = [],
    interrupted = 'repeat',
    maxCalls = 1_000,
    shutdownGraceMs = 10_000,
    purgeIntervalMs = 60_000,
    contact,
    ...unknown
  } = options ?? {};
  const problems = Object.keys(unknown).map(
    (name) => `${name}: is not an option, which are ${KNOWN.join(', ')}`,
  );
  try {
    tokensOf(credentials);
  } catch (error) {
    problems.push((error as Error).message);
  }
  if (guard !== 'memory' && !isStore(guard)) {
    problems.push(
      'guard: must be a store that the replicas of this host share, such as PostgresGuardStore of nestjs-dtc/postgres, or "memory"',
    );
  }
  if (!Array.isArray(coordinators) || coordinators.some((name) => typeof name !== 'string')) {
    problems.push('coordinators: must be a list of names');
  }
  if (interrupted !== 'repeat' && interrupted !== 'report')
    problems.push('interrupted: must be "repeat" or "report"');
  for (const [name, value] of Object.entries({ maxCalls, shutdownGraceMs, purgeIntervalMs })) {
    if (!Number.isInteger(value) || value < 1 || value > 86_400_000)
      problems.push(`${name}: must be a whole number from 1 to 86400000`);
  }
  problems.push(...problemsOfContact(contact));
  if (problems.length > 0) throw new InvalidOptionsError(SUBJECT, problems);
  return {
    credentials,
    guard,
    coordinators,
    interrupted,
    maxCalls,
    shutdownGraceMs,
    purgeIntervalMs,
    contact,
  };
}

/** @throws InvalidOptionsError */
export function resolveRoutes({ prefix = 'participants', decorators = [] }: ParticipantHostRoutes): {
  readonly base: string;
  readonly decorators: readonly ClassDecorator[];
} {
  const problems: string[] = [];
  if (typeof prefix !== 'string' || !PREFIX.test(prefix)) {
    problems.push('prefix: must be a path of letters, digits, "-", "_", "." and "~", such as "participants"');
  }
  if (!Array.isArray(decorators) || decorators.some((decorate) => typeof decorate !== 'function')) {
    problems.push('decorators: must be a list of decorators, such as [Public()]');
  }
  if (problems.length > 0) throw new InvalidOptionsError(SUBJECT, problems);
  return { base: prefix.replaceAll(/^\/|\/$/g, ''), decorators };
}

function problemsOfContact(contact: CoordinatorContactOptions | undefined): string[] {
  if (contact === undefined) return [];
  const { members, credentials, address, intervalMs = 1, tls } = contact;
  const problems = problemsOfTls(tls, 'contact.tls');
  if (!Array.isArray(members) || members.length === 0 || !members.every(isUrl)) {
    problems.push('contact.members: must be a list of URLs, such as ["http://coordinator:3000"]');
  }
  try {
    tokensOf(credentials);
  } catch (error) {
    problems.push(`contact.${(error as Error).message}`);
  }
  if (address !== undefined && !isUrl(address))
    problems.push('contact.address: must be the URL of this host, with its prefix');
  if (!Number.isInteger(intervalMs) || intervalMs < 1)
    problems.push('contact.intervalMs: must be a whole number from 1');
  return problems;
}

function isUrl(value: unknown): boolean {
  return typeof value === 'string' && URL.canParse(value) && /^https?:$/.test(new URL(value).protocol);
}

function isStore(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const methods = value as Readonly<Record<string, unknown>>;
  return (
    STORE_METHODS.every((name) => typeof methods[name] === 'function') &&
    typeof methods['durable'] === 'boolean'
  );
}

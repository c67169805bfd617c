import { InvalidOptionsError } from '../coordinator/errors.js';
import { OutboxError } from './errors.js';

/** The options that the outboxes of all databases have, besides their connection. @publicApi */
export interface OutboxStoreOptions {
  /** The name in metrics and log lines: 1 to 32 characters of a-z, 0-9 and -. @default 'outbox' */
  readonly name?: string | undefined;
  /** Whether the start creates missing tables. @default true */
  readonly createTables?: boolean | undefined;
  /** The most connections of the relay. @default 2 */
  readonly connections?: number | undefined;
  /** How long a call of the relay may take, in milliseconds. @default 5_000 */
  readonly statementTimeoutMs?: number | undefined;
  /** The most bytes of a payload as JSON. From 1 to 1_048_576. @default 262_144 */
  readonly maxPayloadBytes?: number | undefined;
}

/** Every option, with its default if it was not given. */
export type ResolvedStoreOptions = {
  readonly [Option in keyof OutboxStoreOptions]-?: NonNullable<OutboxStoreOptions[Option]>;
};

const NAME = /^[a-z][a-z0-9-]{0,31}$/;
const MOST_PAYLOAD_BYTES = 1_048_576;

/**
 * @param kind the name of the class.
 * @param given the options, without those that only this database has.
 * @param problems of those, a sentence each.
 * @throws InvalidOptionsError with a sentence for each impossible or unknown option.
 */
export function storeOptionsOf(
  kind: string,
  given: OutboxStoreOptions & { readonly connection: unknown },
  problems: readonly string[] = [],
): ResolvedStoreOptions {
  const {
    connection,
    name = 'outbox',
    createTables = true,
    connections = 2,
    statementTimeoutMs = 5_000,
    maxPayloadBytes = 262_144,
    ...unknown
  } = given;
  const all = [...Object.keys(unknown).map((option) => `${option}: is not an option`), ...problems];
  if (connection === undefined || connection === '') all.push('connection: give a URL or a configuration');
  if (typeof name !== 'string' || !NAME.test(name)) {
    all.push('name: must be 1 to 32 characters of a-z, 0-9 and -, beginning with a letter');
  }
  const limits = {
    connections: [connections, 1_000],
    statementTimeoutMs: [statementTimeoutMs, 86_400_000],
    maxPayloadBytes: [maxPayloadBytes, MOST_PAYLOAD_BYTES],
  } as const;
  for (const [option, [value, most]] of Object.entries(limits)) {
    if (!Number.isInteger(value) || value < 1 || value > most)
      all.push(`${option}: must be a whole number from 1 to ${most}`);
  }
  if (all.length > 0) throw new InvalidOptionsError(kind, all);
  return { name, createTables, connections, statementTimeoutMs, maxPayloadBytes };
}

/** A message is written, or the relay asks, before the tables were found. */
export function notStarted(name: string): OutboxError {
  return new OutboxError(
    'DTC_OUTBOX_NOT_STARTED',
    `The outbox "${name}" has not found its tables yet, so nothing was written. Give it to OutboxModule, which starts it with the ` +
      'application, or call start() before the first transaction.',
  );
}

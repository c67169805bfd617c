import { OutboxError } from './errors.js';

/** The options that the outboxes of all databases have. */
export interface CommonStoreOptions {
  readonly connection: unknown;
  readonly name: string;
  readonly connections: number;
  readonly statementTimeoutMs: number;
  readonly maxPayloadBytes: number;
}

const NAME = /^[a-z][a-z0-9-]{0,31}$/;
const MOST_PAYLOAD_BYTES = 1_048_576;

/** @returns one sentence for each impossible option. @param unknown the options that none has. */
export function problemsOfStore(
  { connection, name, connections, statementTimeoutMs, maxPayloadBytes }: CommonStoreOptions,
  unknown: object,
): string[] {
  const problems = Object.keys(unknown).map((option) => `${option}: is not an option`);
  if (connection === undefined || connection === '')
    problems.push('connection: give a URL or a configuration');
  if (typeof name !== 'string' || !NAME.test(name)) {
    problems.push('name: must be 1 to 32 characters of a-z, 0-9 and -, beginning with a letter');
  }
  const limits = {
    connections: [connections, 1_000],
    statementTimeoutMs: [statementTimeoutMs, 86_400_000],
    maxPayloadBytes: [maxPayloadBytes, MOST_PAYLOAD_BYTES],
  } as const;
  for (const [option, [value, most]] of Object.entries(limits)) {
    if (!Number.isInteger(value) || value < 1 || value > most)
      problems.push(`${option}: must be a whole number from 1 to ${most}`);
  }
  return problems;
}

/** A message is written, or the relay asks, before the tables were found. */
export function notStarted(name: string): OutboxError {
  return new OutboxError(
    'DTC_OUTBOX_NOT_STARTED',
    `The outbox "${name}" has not found its tables yet, so nothing was written. Give it to OutboxModule, which starts it with the ` +
      'application, or call start() before the first transaction.',
  );
}

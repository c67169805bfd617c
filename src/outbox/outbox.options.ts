import type { ModuleMetadata } from '@nestjs/common';
import { InvalidOptionsError } from '../coordinator/errors.js';
import type { AlarmRegistry } from '../coordinator/observation/alarms/alarm.js';
import type { MetricRegistry } from './metrics.js';
import { type RelaySettings, type ResolvedRelaySettings, resolveRelaySettings } from './options.js';
import type { SendMessage } from './relay.js';
import type { OutboxStore } from './store.js';

/** The options of {@link OutboxModule}. @publicApi */
export interface OutboxOptions extends RelaySettings {
  /** The outboxes, one for each database: `PostgresOutbox`, `MariaDbOutbox`. Each has a name of its own. */
  readonly stores: readonly OutboxStore[];
  /** Sends a message: a function, or `emitWith(client)` or `sendWith(client)`. */
  readonly send: SendMessage;
  /** Where the metrics are registered, such as `CoordinatorMetrics.registry`. @default nowhere */
  readonly registry?: MetricRegistry | undefined;
  /** Where what is wrong with the outboxes is shown, such as `AlarmBoard`. @default nowhere */
  readonly alarms?: AlarmRegistry | undefined;
}

/** The options of `forRootAsync`. @publicApi */
export interface OutboxAsyncOptions {
  readonly imports?: ModuleMetadata['imports'];
  readonly inject?: readonly unknown[];
  /** Makes the options from what is injected. */
  readonly useFactory: (...injected: never[]) => OutboxOptions | Promise<OutboxOptions>;
}

/** The options with every default. */
export interface ResolvedOutboxOptions {
  readonly stores: readonly OutboxStore[];
  readonly send: SendMessage;
  readonly registry: MetricRegistry | undefined;
  readonly alarms: AlarmRegistry | undefined;
  readonly settings: ResolvedRelaySettings;
}

export const OUTBOX_OPTIONS = Symbol('OUTBOX_OPTIONS');

const STORE_METHODS = [
  'start',
  'claim',
  'record',
  'count',
  'purge',
  'listDead',
  'findDead',
  'requeue',
  'discard',
  'close',
];

/** @throws InvalidOptionsError when an option is unknown or impossible. */
export function resolveOutboxOptions(options: OutboxOptions): ResolvedOutboxOptions {
  const { stores, send, registry, alarms, ...settings } = options ?? {};
  const problems: string[] = [];
  if (!Array.isArray(stores) || stores.length === 0 || !stores.every(isStore)) {
    problems.push('stores: must be a list of outboxes, such as [new PostgresOutbox({ connection })]');
  } else {
    const names = stores.map(({ name }) => name);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined)
      problems.push(`stores: two have the name "${twice}"; give each its own with \`name\``);
  }
  if (typeof send !== 'function') {
    problems.push('send: must be a function, such as emitWith(client) or (message) => ...');
  }
  if (alarms !== undefined && typeof alarms?.add !== 'function') {
    problems.push('alarms: must have the method add, as AlarmBoard has');
  }
  if (registry !== undefined && typeof registry?.registerMetric !== 'function') {
    problems.push('registry: must be a registry of prom-client');
  }
  if (problems.length > 0) throw new InvalidOptionsError('OutboxModule', problems);
  return { stores, send, registry, alarms, settings: resolveRelaySettings(settings) };
}

function isStore(value: unknown): value is OutboxStore {
  if (typeof value !== 'object' || value === null) return false;
  const store = value as Readonly<Record<string, unknown>>;
  return (
    typeof store['name'] === 'string' && STORE_METHODS.every((name) => typeof store[name] === 'function')
  );
}

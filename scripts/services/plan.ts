import { join } from 'node:path';
import { PARTICIPANTS } from './tokens.js';

/** A process, and how it is started. */
export interface ProcessPlan {
  readonly name: string;
  /** The port on which it listens. */
  readonly url: string;
  /** The file of its program. */
  readonly program: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** The settings of the processes of the shop. */
export interface ShopSettings {
  readonly host: string;
  /** A port for each of {@link NAMES}. */
  readonly ports: readonly number[];
  /** The URLs of the databases, by the variables of `startDatabasesOfMembers`. */
  readonly databases: Readonly<Record<string, string>>;
  /** The folder of the tokens: see `makeTokens`. */
  readonly tokens: string;
  /** The program of the coordinators. */
  readonly coordinator: string;
  /** Further variables of the coordinators. */
  readonly coordinatorVariables?: NodeJS.ProcessEnv;
}

/** The processes, in the order of their ports. */
export const NAMES = ['gateway', 'order', 'inventory', 'payment', 'coordinator-1', 'coordinator-2'] as const;

export type ProcessName = (typeof NAMES)[number];

const COORDINATORS = ['coordinator-1', 'coordinator-2'] as const;
const SERVICES = join(import.meta.dirname, '../../samples/services');

/** @returns the processes, by their names. */
export function planOf(settings: ShopSettings): Readonly<Record<ProcessName, ProcessPlan>> {
  const plans = NAMES.map((name) => [name, planFor(name, settings)] as const);
  return Object.fromEntries(plans) as Record<ProcessName, ProcessPlan>;
}

/** Processes in groups, one after the other. */
export type Groups = readonly (readonly ProcessPlan[])[];

/** @returns the order of the start: the first coordinator makes the tables of the log. */
export function startOrderOf(plans: Readonly<Record<ProcessName, ProcessPlan>>): Groups {
  const [first, second] = COORDINATORS;
  return [[plans[first]], [plans[second], ...PARTICIPANTS.map((name) => plans[name]), plans.gateway]];
}

/**
 * @returns the order of a stop: first no more orders arrive, then coordinators complete their open
 * transactions at the services.
 */
export function stopOrderOf(plans: Readonly<Record<ProcessName, ProcessPlan>>): Groups {
  return [[plans.gateway], COORDINATORS.map((name) => plans[name]), PARTICIPANTS.map((name) => plans[name])];
}

function planFor(name: ProcessName, settings: ShopSettings): ProcessPlan {
  const { host, tokens, coordinator } = settings;
  const isCoordinator = name.startsWith('coordinator');
  const url = urlOf(name, settings);
  const variables = isCoordinator
    ? variablesOfCoordinator(name, settings)
    : {
        ADDRESS: url,
        COORDINATORS: COORDINATORS.map((each) => urlOf(each, settings)).join(','),
        ORDER_SERVICE: urlOf('order', settings),
        DATABASE_URL: settings.databases[`${name.toUpperCase()}_DATABASE_URL`],
        TOKENS: join(tokens, name),
      };
  return {
    name,
    url,
    program: isCoordinator ? coordinator : join(SERVICES, name, 'main.js'),
    environment: { ...process.env, ...variables, HOST: host, PORT: new URL(url).port },
  };
}

function variablesOfCoordinator(name: ProcessName, settings: ShopSettings): NodeJS.ProcessEnv {
  const { tokens, databases, coordinatorVariables } = settings;
  return {
    DTC_NAME: 'shop',
    DTC_MEMBER_NAME: name,
    DTC_MEMBER_ADDRESS: urlOf(name, settings),
    DECISION_LOG: 'postgres',
    DECISION_LOG_URL: databases['DECISION_LOG_URL'],
    CALLER_TOKENS_FILE: join(tokens, 'coordinator/callers'),
    PARTICIPANT_TOKENS_FILE: join(tokens, 'coordinator/participants'),
    PARTICIPANT_ORIGINS: PARTICIPANTS.map((each) => urlOf(each, settings)).join(','),
    COORDINATOR_TOKEN_FILE: join(tokens, 'coordinator/own'),
    MEMBER_TOKENS_FILE: join(tokens, 'coordinator/member'),
    ...coordinatorVariables,
  };
}

/**
 * The processes of one machine reach each other at the address on which they listen, or at that of the
 * machine itself.
 */
function urlOf(name: ProcessName, { host, ports }: ShopSettings): string {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${ports[NAMES.indexOf(name)]}`;
}

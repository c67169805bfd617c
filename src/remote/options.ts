import { InvalidOptionsError, type ParticipantOptions } from '../coordinator/index.js';
import { AllowedAddresses, addressOf } from './addresses.js';
import { type TlsSource, problemsOfTls } from '../hop/index.js';
import type { RegistrationStore } from './registrations.js';
import type { ParticipantTransport } from './transport.js';
import { type Credentials, MAX_PAYLOAD_BYTES, tokensOf } from './wire/index.js';

/** The limits of remote participants. Each has a default. @publicApi */
export interface RemoteParticipantLimits {
  /**
   * The most calls of one kind (work, completion) to one participant that wait for an answer.
   *
   * @default 256
   */
  readonly maxInFlight?: number | undefined;
  /** The most further calls of one kind that wait for a place. @default 1_024 */
  readonly maxQueued?: number | undefined;
  /** The largest payload of a branch, in bytes of JSON. @default 65_536 */
  readonly maxPayloadBytes?: number | undefined;
  /** The most connections to the host of one participant, for each kind of call. @default 16 */
  readonly maxConnections?: number | undefined;
  /**
   * How long a claim, and a page of a list of branches, may take, in milliseconds. Longer than the hosts wait
   * for a lock on the name of a coordinator.
   *
   * @default 10_000
   */
  readonly adminTimeoutMs?: number | undefined;
}

/** A participant in another process. @publicApi */
export interface RemoteParticipantOptions extends ParticipantOptions {
  /**
   * The URL of its host, with the prefix of the host: `http://stock:3000/participants`. Or a transport of
   * your own.
   */
  readonly address: string | ParticipantTransport;
  /** The token that is sent to its host. @default the one of the module */
  readonly credentials?: Credentials | undefined;
}

/** The options of {@link RemoteParticipantsModule}. @publicApi */
export interface RemoteParticipantsOptions extends RemoteParticipantLimits {
  /** The participants whose addresses are known. @default none */
  readonly participants?: readonly RemoteParticipantOptions[] | undefined;
  /** The token that is sent to hosts. */
  readonly credentials: Credentials;
  /**
   * Certificates for https: `ca`, `cert`, `key`, `servername`, or a function such as that of `tlsFrom`.
   *
   * @default those of Node
   */
  readonly tls?: TlsSource | undefined;
  /**
   * The origins at which participants may register at run time: `https://stock.internal:8443`,
   * `https://*.internal`.
   *
   * @default none, so that none can register
   */
  readonly allow?: readonly string[] | undefined;
  /**
   * Keeps what registers at run time: the shared decision log, or a `RegistrationFile`. Needed with `allow`.
   */
  readonly registrations?: RegistrationStore | undefined;
  /** How often registrations at other members are looked for, in milliseconds. @default 2_000 */
  readonly refreshIntervalMs?: number | undefined;
  /** How often hosts are told which records they need no longer, in milliseconds. @default 30_000 */
  readonly forgetIntervalMs?: number | undefined;
}

/** Every option, with its default where none was given. */
export interface ResolvedRemoteOptions {
  readonly participants: readonly RemoteParticipantOptions[];
  readonly credentials: Credentials;
  readonly tls: TlsSource | undefined;
  readonly allow: AllowedAddresses;
  readonly registrations: RegistrationStore | undefined;
  readonly limits: Required<{ readonly [K in keyof RemoteParticipantLimits]: number }>;
  readonly refreshIntervalMs: number;
  readonly forgetIntervalMs: number;
}

const SUBJECT = 'RemoteParticipantsModule';

/** @throws InvalidOptionsError when an option is unknown or impossible. No token is quoted. */
export function resolveRemoteOptions(options: RemoteParticipantsOptions): ResolvedRemoteOptions {
  const {
    participants = [],
    credentials,
    tls,
    allow = [],
    registrations,
    maxInFlight = 256,
    maxQueued = 1_024,
    maxPayloadBytes = MAX_PAYLOAD_BYTES,
    maxConnections = 16,
    adminTimeoutMs = 10_000,
    refreshIntervalMs = 2_000,
    forgetIntervalMs = 30_000,
    ...unknown
  } = options ?? {};
  const limits = { maxInFlight, maxQueued, maxPayloadBytes, maxConnections, adminTimeoutMs };
  const problems = Object.keys(unknown).map((name) => `${name}: is not an option`);
  const attempt = <T>(check: () => T): T | undefined => {
    try {
      return check();
    } catch (error) {
      problems.push((error as Error).message);
      return undefined;
    }
  };
  attempt(() => tokensOf(credentials));
  problems.push(...problemsOfTls(tls, 'tls'));
  const allowed = attempt(() => new AllowedAddresses(allow));
  if (allow.length > 0 && registrations === undefined) {
    problems.push(
      'registrations: is needed with allow, so that a participant is still known after a restart: give the shared decision log, ' +
        'or new RegistrationFile(path)',
    );
  }
  for (const [name, value] of Object.entries({ ...limits, refreshIntervalMs, forgetIntervalMs })) {
    if (!Number.isInteger(value) || value < 1 || value > 86_400_000)
      problems.push(`${name}: must be a whole number from 1 to 86400000`);
  }
  for (const { name, address, credentials: own } of participants) {
    const where = `participants, ${JSON.stringify(name)}: `;
    if (typeof address === 'string') {
      const before = problems.length;
      attempt(() => addressOf(address));
      if (problems.length > before) problems.push(`${where}${problems.pop()!}`);
    } else if (typeof address?.send !== 'function') {
      problems.push(`${where}address: must be a URL, or a transport`);
    }
    if (own !== undefined) attempt(() => tokensOf(own));
  }
  if (problems.length > 0 || allowed === undefined) throw new InvalidOptionsError(SUBJECT, problems);
  return {
    participants,
    credentials,
    tls,
    allow: allowed,
    registrations,
    limits,
    refreshIntervalMs,
    forgetIntervalMs,
  };
}

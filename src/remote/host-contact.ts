import type { RemoteHost } from '../coordinator/index.js';
import type { ParticipantTransport } from './transport.js';
import type { CallAnswer } from './wire/index.js';

/** So long a version counts as one of the processes at an address, in milliseconds: several replicas may answer there in turn. */
const VERSION_KEPT_MS = 300_000;
/** The most versions that are kept. */
const MAX_VERSIONS = 10;
/** The version of a host that does not say it. */
const UNKNOWN = 'unknown';

/**
 * What is known of the host at one address. A participant that moves gets another one, so that nothing that was said of the former
 * host, or by it, is taken for the new one.
 */
export class HostContact {
  /** When the latest answer has come, on the clock of `performance`; undefined before the first. */
  answeredAt: number | undefined = undefined;
  /** The latest call that has got no answer, or was not sent, and why. */
  failure: { readonly at: number; readonly problem: string } | undefined = undefined;
  private said: { readonly at: number; readonly host: Omit<RemoteHost, 'at' | 'versions'> } | undefined;
  /** When a process of each version has answered last. */
  private readonly versions = new Map<string, number>();

  constructor(readonly transport: ParticipantTransport) {}

  answered(): void {
    this.answeredAt = performance.now();
  }

  failed(problem: string): void {
    this.failure = { at: performance.now(), problem };
  }

  /** The host has said what it is. A host of an earlier version says less. */
  heard({ host }: Extract<CallAnswer, { readonly kind: 'capabilities' }>): void {
    const { version = null, atWork = null, calls = null, errors = null } = host ?? {};
    const at = performance.now();
    this.said = { at, host: { version, atWork, calls, errors } };
    this.versions.delete(version ?? UNKNOWN);
    this.versions.set(version ?? UNKNOWN, at);
    const [oldest] = this.versions.keys();
    if (this.versions.size > MAX_VERSIONS) this.versions.delete(oldest!);
  }

  /** What the host has said of itself last; undefined before. */
  get host(): RemoteHost | undefined {
    if (this.said === undefined) return undefined;
    const { at, host } = this.said;
    const since = performance.now() - VERSION_KEPT_MS;
    const versions = [...this.versions].filter(([, heardAt]) => heardAt >= since || heardAt === at);
    return { at: momentOf(at), ...host, versions: versions.map(([version]) => version).toSorted() };
  }
}

/** @param at on the clock of `performance`. @returns ISO 8601. */
export function momentOf(at: number): string {
  return new Date(Date.now() - (performance.now() - at)).toISOString();
}

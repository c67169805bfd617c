import { createHash, timingSafeEqual } from 'node:crypto';
import { type TlsSource, problemsOfTls } from '../../hop/index.js';
import { UnauthenticatedError } from '../access/access-errors.js';

/** How members of a shared log ask each other. @publicApi */
export interface MembersOptions {
  /**
   * The tokens by which members know each other, at least 16 characters each. A member sends the first one,
   * and accepts all of them: so a token can be replaced while the members run. No reader or operator has one
   * of them.
   */
  readonly tokens: readonly string[];
  /**
   * How long another member may take to answer a question, in milliseconds, from 1 to 60_000.
   *
   * @default 2_000
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Certificates for https: `ca`, `cert`, `key`, `servername`, or a function such as that of `tlsFrom`.
   *
   * @default those of Node
   */
  readonly tls?: TlsSource | undefined;
}

const BEARER = /^Bearer +([!-~]{1,512})$/i;
const TOKEN = /^[!-~]{16,512}$/;
const KNOWN_OPTIONS: readonly string[] = ['tokens', 'timeoutMs', 'tls'];
const MAX_TOKENS = 16;
const MAX_TIMEOUT_MS = 60_000;
const DEFAULT_TIMEOUT_MS = 2_000;

/**
 * The credential of the members of one coordinator. They are kept as digests, except for the one that is
 * sent.
 */
export class MemberTokens {
  private readonly digests: readonly Buffer[];
  /** The token that this member sends; undefined when it asks no other one. */
  readonly sent: string | undefined;
  /** In milliseconds. */
  readonly timeoutMs: number;
  /** Certificates for https. */
  readonly tls: TlsSource | undefined;

  /** @param options checked by {@link memberProblemsOf}. Undefined when members do not ask each other. */
  constructor(options: MembersOptions | undefined) {
    this.digests = (options?.tokens ?? []).map(digestOf);
    this.sent = options?.tokens[0];
    this.timeoutMs = options?.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.tls = options?.tls;
  }

  /**
   * @param authorization the header of that name.
   * @throws UnauthenticatedError unless it has one of the tokens.
   */
  admit(authorization: string | undefined): void {
    const token = BEARER.exec(authorization ?? '')?.[1];
    const digest = digestOf(token ?? '');
    let isKnown = false;
    // All tokens are compared, even after a match, so that the time does not reveal which one it was.
    for (const known of this.digests) if (timingSafeEqual(known, digest)) isKnown = true;
    if (!isKnown || token === undefined)
      throw new UnauthenticatedError(
        'Only the other members of this coordinator may call this, with the token of members.',
      );
  }
}

/**
 * @param taken the tokens of readers and operators.
 * @returns the problems of the options, which may come from JavaScript or from a factory. No token is quoted.
 */
export function memberProblemsOf(options: unknown, taken: readonly unknown[]): string[] {
  if (options === undefined) return [];
  if (typeof options !== 'object' || options === null)
    return ['members: must be an object with the tokens of the members, such as { tokens: [token] }'];
  const { tokens, timeoutMs, tls } = options as Record<keyof MembersOptions, unknown>;
  return [
    ...Object.keys(options)
      .filter((key) => !KNOWN_OPTIONS.includes(key))
      .map((key) => `members.${key}: is not an option; the options are ${KNOWN_OPTIONS.join(', ')}`),
    ...tokenProblemsOf(tokens, taken),
    ...problemsOfTls(tls, 'members.tls'),
    ...(timeoutMs === undefined || isTimeout(timeoutMs)
      ? []
      : [`members.timeoutMs: must be a whole number of milliseconds from 1 to ${MAX_TIMEOUT_MS}`]),
  ];
}

function tokenProblemsOf(tokens: unknown, taken: readonly unknown[]): string[] {
  if (!Array.isArray(tokens) || tokens.length === 0 || tokens.length > MAX_TOKENS) {
    return [
      `members.tokens: must be a list of 1 to ${MAX_TOKENS} tokens; leave out members if they do not ask each other`,
    ];
  }
  const list: readonly unknown[] = tokens;
  return list.flatMap((token, index) => {
    if (typeof token !== 'string' || !TOKEN.test(token))
      return [`members.tokens[${index}]: must be 16 to 512 characters of visible ASCII`];
    if (list.indexOf(token) < index) return [`members.tokens[${index}]: was already given`];
    if (taken.includes(token))
      return [
        `members.tokens[${index}]: is the token of a reader or an operator as well; give the members one of their own`,
      ];
    return [];
  });
}

function isTimeout(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_TIMEOUT_MS;
}

/** Digests are all of one length, as a comparison in constant time needs. */
function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

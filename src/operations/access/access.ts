import { createHash, timingSafeEqual } from 'node:crypto';
import type { ExecutionContext } from '@nestjs/common';
import { InvalidOptionsError } from '../../coordinator/index.js';
import { ForbiddenError, UnauthenticatedError } from './access-errors.js';

/** A caller: its name for the audit trail, and the token that proves it. @publicApi */
export interface Credential {
  readonly name: string;
  /** Sent as `Authorization: Bearer <token>`. At least 16 characters. */
  readonly token: string;
}

/** The callers that may read, and those that may act. By default no caller may do either. @publicApi */
export interface AccessOptions {
  /** The callers that may read; `anyone` needs no token to read. @default none */
  readonly readers?: readonly Credential[] | 'anyone' | undefined;
  /**
   * The host names, without port, by which a caller without a token must have asked. A page of another origin
   * whose own name points to this server asks by that name. @default any
   */
  readonly hosts?: readonly string[] | undefined;
  /** The callers that may read and act. @default none */
  readonly operators?: readonly Credential[] | undefined;
}

/** The right that a route requires: to see, or to act. @publicApi */
export type Role = 'reader' | 'operator';

/** The caller of a route. @publicApi */
export interface Caller {
  /** Null for a caller without a token, if every caller may read. */
  readonly name: string | null;
  readonly role: Role | 'anyone';
}

/** A caller that the application admits. @publicApi */
export interface AdmittedCaller extends Caller {
  readonly role: Role;
}

/**
 * Decides who may see and act, instead of tokens.
 *
 * @param context the request: `context.switchToHttp().getRequest()`. Global guards have let it pass before.
 * @param needed `reader` to see, `operator` to act.
 * @returns who asks. The name stands in the audit trail, so an operator needs one. Every answer that is not
 * an object with the role `reader` or `operator` refuses, with 403: undefined and false, but also the true of
 * a guard.
 * @throws what is answered instead, an UnauthorizedException for instance.
 * @publicApi
 */
export type Authorize = (
  context: ExecutionContext,
  needed: Role,
) => AdmittedCaller | undefined | PromiseLike<AdmittedCaller | undefined>;

/** The callers that may see and act: by tokens, or as the application decides. @publicApi */
export interface OperationsAccess extends AccessOptions {
  /** The application's own check, instead of `readers` and `operators`. @default tokens */
  readonly authorize?: Authorize | undefined;
}

interface Known extends Caller {
  readonly name: string;
  readonly role: Role;
  readonly digest: Buffer;
}

const BEARER = /^Bearer +([!-~]{1,512})$/i;
const MIN_TOKEN_LENGTH = 16;

/** Stores tokens as digests, and compares each in a time that does not depend on how much of it was right. */
export class Access {
  private readonly known: readonly Known[];
  private readonly anyoneReads: boolean;
  private readonly hosts: ReadonlySet<string> | undefined;
  /** The application's own check, instead of tokens. */
  readonly authorize: OperationsAccess['authorize'];

  /**
   * @throws InvalidOptionsError when an option is not known or impossible; when a token is missing, too short
   * to be a secret, or the token of another as well; or when tokens are given beside a check of the
   * application.
   */
  constructor(options: OperationsAccess) {
    const problems = problemsOf(options);
    if (problems.length > 0) throw new InvalidOptionsError('OperationsModule', problems);
    const { readers = [], operators = [], hosts, authorize } = options;
    this.authorize = authorize;
    this.anyoneReads = readers === 'anyone';
    this.hosts = hosts && new Set(hosts.map((host) => host.toLowerCase()));
    this.known = [
      ...operators.map((credential) => knownAs(credential, 'operator')),
      ...(readers === 'anyone' ? [] : readers.map((credential) => knownAs(credential, 'reader'))),
    ];
    const digests = new Set(this.known.map(({ digest }) => digest.toString('hex')));
    if (digests.size < this.known.length)
      throw new InvalidOptionsError('OperationsModule', [
        'two credentials have the same token: give each a token of its own',
      ]);
  }

  /**
   * @param authorization the header of that name, like `host`.
   * @throws UnauthenticatedError when the token is unknown, or a required token is missing.
   * @throws ForbiddenError when the caller lacks the right.
   */
  admit(authorization: string | undefined, needed: Role, host?: string): Caller {
    const caller = this.identify(authorization, host);
    if (needed === 'operator' && caller.role !== 'operator') {
      if (caller.role === 'anyone') throw new UnauthenticatedError('Acting needs the token of an operator.');
      throw new ForbiddenError(caller.name ?? '');
    }
    return caller;
  }

  private identify(authorization: string | undefined, host: string | undefined): Caller {
    if (authorization === undefined) {
      if (this.anyoneReads && this.isAskedAs(host)) return { name: null, role: 'anyone' };
      throw new UnauthenticatedError('A token is needed: Authorization: Bearer <token>.');
    }
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined)
      throw new UnauthenticatedError('Only Authorization: Bearer <token> is supported.');
    const digest = digestOf(token);
    let found: Known | undefined;
    // All tokens are compared, even after a match, so that the time does not reveal which one it was.
    for (const known of this.known) if (timingSafeEqual(known.digest, digest)) found = known;
    if (found === undefined) throw new UnauthenticatedError('The token is not known.');
    return { name: found.name, role: found.role };
  }

  private isAskedAs(host: string | undefined): boolean {
    if (this.hosts === undefined) return true;
    return this.hosts.has((host ?? '').replace(/:\d+$/, '').toLowerCase());
  }
}

function knownAs({ name, token }: Credential, role: Role): Known {
  return { name, role, digest: digestOf(token) };
}

const KNOWN_OPTIONS: readonly string[] = ['readers', 'operators', 'hosts', 'authorize'];

/** A host name or an address, without a port. */
const HOST = /^([^\s:/[\]]+|\[[\da-f:.]+(%[\w.-]+)?\])$/i;

/**
 * @returns the problems of the options, which may come from JavaScript or from a factory. No token is quoted.
 */
function problemsOf(options: unknown): string[] {
  if (typeof options !== 'object' || options === null) {
    return ['who may see and act: must be an object, such as { readers, operators } or { authorize }'];
  }
  const {
    readers = [],
    operators = [],
    hosts,
    authorize,
  } = options as Record<keyof OperationsAccess, unknown>;
  return [
    ...Object.keys(options)
      .filter((key) => !KNOWN_OPTIONS.includes(key))
      .map((key) => `${key}: is not an option of who may see and act, which are ${KNOWN_OPTIONS.join(', ')}`),
    ...(readers === 'anyone' ? [] : credentialProblemsOf('readers', readers)),
    ...credentialProblemsOf('operators', operators),
    ...(hosts === undefined || isListOfHosts(hosts)
      ? []
      : ['hosts: must be a list of host names without a port, such as ["localhost"]']),
    ...(authorize !== undefined && typeof authorize !== 'function' ? ['authorize: must be a function'] : []),
    ...(authorize !== undefined && (isGiven(readers) || isGiven(operators))
      ? ['authorize: decides alone; leave out readers and operators']
      : []),
  ];
}

/** Whether it is more than an empty list of credentials. */
function isGiven(list: unknown): boolean {
  return !Array.isArray(list) || list.length > 0;
}

function isListOfHosts(hosts: unknown): boolean {
  return Array.isArray(hosts) && hosts.every((host) => typeof host === 'string' && HOST.test(host));
}

/** @returns the problems of these credentials. No token is quoted. */
function credentialProblemsOf(list: 'readers' | 'operators', credentials: unknown): string[] {
  if (!Array.isArray(credentials)) return [`${list}: must be a list of credentials, { name, token }`];
  return credentials.flatMap((credential: unknown, index) => {
    const { name, token } = (credential ?? {}) as { name?: unknown; token?: unknown };
    if (typeof name !== 'string' || name === '')
      return [`${list}[${index}].name: must be a name, for the audit trail`];
    if (token === undefined || token === '') {
      return [
        `${list}[${index}].token: is missing: set the variable or the secret that holds the token of "${name}"`,
      ];
    }
    if (typeof token !== 'string' || token.length < MIN_TOKEN_LENGTH) {
      return [
        `${list}[${index}].token: the token of "${name}" must be a text of at least ${MIN_TOKEN_LENGTH} characters`,
      ];
    }
    return [];
  });
}

/** Digests are all of one length, as a comparison in constant time needs. */
function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

import { createHash, timingSafeEqual } from 'node:crypto';
import { ForbiddenError, UnauthenticatedError } from './access-errors.js';

/** Who may come in: a name for the audit trail, and the token that proves it. @publicApi */
export interface Credential {
  readonly name: string;
  /** Sent as `Authorization: Bearer <token>`. At least 16 characters. */
  readonly token: string;
}

/** Who may see, and who may act. By default nobody may do either. @publicApi */
export interface AccessOptions {
  /** Who may see; `anyone` needs no token to see. @default nobody */
  readonly readers?: readonly Credential[] | 'anyone' | undefined;
  /**
   * By which hosts, without port, whoever has no token must have asked: a page of another origin that has its own name
   * point here asks by that name. @default any
   */
  readonly hosts?: readonly string[] | undefined;
  /** Who may see and act. @default nobody */
  readonly operators?: readonly Credential[] | undefined;
}

/** What a route asks for: to see, or to act. */
export type Role = 'reader' | 'operator';

/** Who asks. @publicApi */
export interface Caller {
  /** Null for one without a token, where anyone may see. */
  readonly name: string | null;
  readonly role: Role | 'anyone';
}

interface Known extends Caller {
  readonly name: string;
  readonly role: Role;
  readonly digest: Buffer;
}

const BEARER = /^Bearer +([!-~]{1,512})$/i;
const MIN_TOKEN_LENGTH = 16;

/** Knows tokens by their digests, and compares each in a time that tells nothing of how much of it was right. */
export class Access {
  private readonly known: readonly Known[];
  private readonly anyoneReads: boolean;
  private readonly hosts: ReadonlySet<string> | undefined;

  /** @throws TypeError when a token is too short to be a secret, or is another's as well. */
  constructor({ readers = [], operators = [], hosts }: AccessOptions) {
    this.anyoneReads = readers === 'anyone';
    this.hosts = hosts && new Set(hosts.map((host) => host.toLowerCase()));
    this.known = [
      ...operators.map((credential) => knownAs(credential, 'operator')),
      ...(readers === 'anyone' ? [] : readers.map((credential) => knownAs(credential, 'reader'))),
    ];
    const digests = new Set(this.known.map(({ digest }) => digest.toString('hex')));
    if (digests.size < this.known.length)
      throw new TypeError('Each credential must have a token of its own.');
  }

  /**
   * @param authorization the header of that name; and so is `host`.
   * @throws UnauthenticatedError when nobody has that token, or there is none and one is needed.
   * @throws ForbiddenError when whoever it is may not do that.
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
      throw new UnauthenticatedError('Only Authorization: Bearer <token> is understood.');
    const digest = digestOf(token);
    let found: Known | undefined;
    // All are compared, also after one that fits, so that the time does not tell which it was.
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
  if (token.length < MIN_TOKEN_LENGTH) {
    throw new TypeError(`The token of ${name} must have at least ${MIN_TOKEN_LENGTH} characters.`);
  }
  return { name, role, digest: digestOf(token) };
}

/** Digests are all of one length, as a comparison in constant time needs. */
function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

import { createHash } from 'node:crypto';
import { InvalidOptionsError } from '../../coordinator/index.js';
import { Access, type Credential } from '../../operations/access/access.js';
import { UnauthenticatedError } from '../../operations/access/access-errors.js';
import { RotatedList } from '../../operations/access/rotated-list.js';
import { RoleNeededError } from '../errors.js';

/**
 * What a credential may do at the interface for callers and participants:
 *
 * - `caller`: run, begin, enlist, commit and roll back transactions, and see their outcomes.
 * - `participant`: ask for decisions, and register and unregister its participants.
 * - `reader`: see outcomes and participants.
 * - `operator`: all that a reader may, and register and unregister participants.
 *
 * @publicApi
 */
export type ServerRole = 'caller' | 'participant' | 'reader' | 'operator';

/**
 * The credentials of one role: a list, or a function that returns the present list. It is called at each
 * request, so return the same list until it changes. A list that cannot be used leaves the one before in
 * force.
 *
 * @publicApi
 */
export type CredentialSource = readonly Credential[] | (() => readonly Credential[]);

/**
 * The callers that may use the interface for callers and participants, by role. By default no one may do
 * anything.
 *
 * @publicApi
 */
export interface ServerAccessOptions {
  /** @default none */
  readonly callers?: CredentialSource | undefined;
  /** @default none */
  readonly participants?: CredentialSource | undefined;
  /** @default none */
  readonly readers?: CredentialSource | undefined;
  /** @default none */
  readonly operators?: CredentialSource | undefined;
}

/** A process that has proven who it is. */
export interface ServerCaller {
  readonly name: string;
  readonly role: ServerRole;
}

/** The rights of each caller, by the tokens of each role. */
export class ServerAccess {
  private readonly lists: readonly RoleList[];

  /** @throws InvalidOptionsError when a credential is impossible, or two roles have a token in common. */
  constructor({ callers, participants, readers, operators }: ServerAccessOptions) {
    this.lists = [
      new RoleList('caller', callers),
      new RoleList('participant', participants),
      new RoleList('reader', readers),
      new RoleList('operator', operators),
    ];
    refuseSharedTokens(this.lists.flatMap(({ digests }) => digests));
  }

  /**
   * @param authorization the header of that name.
   * @param allowed the roles that may do it.
   * @throws UnauthenticatedError when there is no known token. RoleNeededError when its role is another one.
   */
  admit(authorization: string | undefined, allowed: readonly ServerRole[]): ServerCaller {
    for (const list of this.lists) {
      list.renew(this.lists.filter((other) => other !== list).flatMap(({ digests }) => digests));
    }
    let found: ServerCaller | undefined;
    let refusal: UnauthenticatedError | undefined;
    // Every list is compared, also after a match, so that the time does not reveal the role.
    for (const list of this.lists) {
      try {
        found = list.identify(authorization);
      } catch (error) {
        if (!(error instanceof UnauthenticatedError)) throw error;
        refusal ??= error;
      }
    }
    if (found === undefined) throw refusal!;
    if (!allowed.includes(found.role)) throw new RoleNeededError(found.name, allowed);
    return found;
  }
}

/** The credentials of one role, as they are now. */
class RoleList {
  private readonly list: RotatedList;
  private access: Access;
  digests: readonly string[];

  constructor(
    private readonly role: ServerRole,
    source: CredentialSource = [],
  ) {
    this.list = new RotatedList(source, `the role ${role}`, 'CoordinatorServerModule');
    this.access = accessOf(role, this.list.current);
    this.digests = digestsOf(this.list.current);
  }

  identify(authorization: string | undefined): ServerCaller {
    const { name } = this.access.admit(authorization, 'reader');
    return { name: name!, role: this.role };
  }

  /**
   * A list that was rotated takes effect with the next request.
   *
   * @param others the digests of the tokens of the other roles, which this one may not have.
   */
  renew(others: readonly string[]): void {
    this.list.renew((latest) => {
      const access = accessOf(this.role, latest);
      const digests = digestsOf(latest);
      refuseSharedTokens([...others, ...digests]);
      this.access = access;
      this.digests = digests;
    });
  }
}

function digestsOf(credentials: readonly Credential[]): string[] {
  return credentials.map(({ token }) => createHash('sha256').update(token).digest('hex'));
}

/** @throws InvalidOptionsError when two credentials have one token, which would be of two roles. */
function refuseSharedTokens(digests: readonly string[]): void {
  if (new Set(digests).size === digests.length) return;
  throw new InvalidOptionsError('CoordinatorServerModule', [
    'two credentials have the same token: give each role and each name a token of its own',
  ]);
}

function accessOf(role: ServerRole, credentials: unknown): Access {
  if (!Array.isArray(credentials)) {
    throw new InvalidOptionsError('CoordinatorServerModule', [
      `${role}s: must be a list of credentials, { name, token }, or a function that returns one`,
    ]);
  }
  return new Access({ readers: credentials as readonly Credential[] });
}

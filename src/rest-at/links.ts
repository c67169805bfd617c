import { InvalidRequestError } from '../coordinator/index.js';
import type { AllowedAddresses } from '../remote/addresses.js';

/** A participant that knows both phases: one resource takes every order. */
export interface AwareLinks {
  readonly participant: string;
  readonly terminator: string;
}

/** A participant that has a resource for each order. */
export interface UnawareLinks {
  readonly participant: string;
  readonly prepare: string;
  readonly commit: string;
  readonly rollback: string;
  readonly commitOnePhase?: string;
}

/** Where a participant is reached. It is kept as it is in the decision log. */
export type ParticipantLinks = AwareLinks | UnawareLinks;

const MAX_LINKS = 16;
const MAX_URL_LENGTH = 1_000;

/** One link, and the comma after it. */
const LINK = /\s*<([^<>]*)>((?:\s*;\s*[\w*-]+(?:\s*=\s*(?:"[^"]*"|[^\s",;]+))?)*)\s*(?:,|$)/y;
const REL = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s",;]+))/i;

/** The relations that say where a participant is reached. */
const RELATIONS = new Set([
  'participant',
  'terminator',
  'prepare',
  'commit',
  'rollback',
  'commit-one-phase',
  'volatile-participant',
]);

/**
 * Reads a header Link, or several that are joined by commas.
 *
 * @returns the URLs by their relations. Relations that do not concern participants are left out.
 * @throws InvalidRequestError when it cannot be read, or names two URLs for one relation.
 */
export function linksIn(header: string): Map<string, string> {
  const found = new Map<string, string>();
  const pattern = new RegExp(LINK);
  for (let count = 0; pattern.lastIndex < header.length; count++) {
    const match = pattern.exec(header);
    if (match === null || count >= MAX_LINKS) {
      throw new InvalidRequestError(
        'Link',
        `must be at most ${MAX_LINKS} links such as <URL>; rel="participant"`,
      );
    }
    const [, url = '', parameters = ''] = match;
    const rel = REL.exec(parameters);
    for (const relation of (rel?.[1] ?? rel?.[2] ?? '').split(/\s+/)) {
      if (!RELATIONS.has(relation)) continue;
      if ((found.get(relation) ?? url) !== url)
        throw new InvalidRequestError('Link', `names two URLs for rel="${relation}": name one`);
      found.set(relation, url);
    }
  }
  return found;
}

/**
 * @returns where a participant is reached, by the links that it has sent; undefined where they name none.
 * @throws InvalidRequestError when a link is missing, or is no URL that can be called. AddressRefusedError
 * when a URL is not allowed.
 */
export function participantIn(
  links: ReadonlyMap<string, string>,
  allowed: AllowedAddresses,
): ParticipantLinks | undefined {
  const url = (relation: string): string => checkedUrl(relation, links.get(relation), allowed);
  if (links.has('terminator')) return { participant: url('participant'), terminator: url('terminator') };
  if (!['participant', 'prepare', 'commit', 'rollback'].some((relation) => links.has(relation)))
    return undefined;
  return {
    participant: url('participant'),
    prepare: url('prepare'),
    commit: url('commit'),
    rollback: url('rollback'),
    ...(links.has('commit-one-phase') && { commitOnePhase: url('commit-one-phase') }),
  };
}

/** @throws as {@link participantIn}. */
export function checkedUrl(relation: string, url: string | undefined, allowed: AllowedAddresses): string {
  if (url === undefined)
    throw new InvalidRequestError(
      'Link',
      `has no rel="${relation}": send participant and terminator, or participant, prepare, commit and rollback`,
    );
  if (url.length > MAX_URL_LENGTH)
    throw new InvalidRequestError(
      'Link',
      `has a URL of more than ${MAX_URL_LENGTH} characters for rel="${relation}"`,
    );
  if (!URL.canParse(url) || !/^https?:/i.test(url))
    throw new InvalidRequestError('Link', `has no URL of http or https for rel="${relation}"`);
  // Others split the header at each comma, so no link of ours may have one.
  if (url.includes(',') || url.includes('"'))
    throw new InvalidRequestError('Link', `has a comma or a quotation mark in the URL for rel="${relation}"`);
  allowed.checkResource(url);
  return url;
}

/** @returns the header that {@link linksIn} reads. */
export function headerOf(links: ParticipantLinks): string {
  const relations =
    'terminator' in links
      ? { participant: links.participant, terminator: links.terminator }
      : {
          participant: links.participant,
          prepare: links.prepare,
          commit: links.commit,
          rollback: links.rollback,
          'commit-one-phase': links.commitOnePhase,
        };
  return linkHeader(relations);
}

/** @param relations the URLs by their relations. One that is undefined is left out. */
export function linkHeader(relations: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(relations)
    .flatMap(([relation, url]) => (url === undefined ? [] : [`<${url}>; rel="${relation}"`]))
    .join(', ');
}

/** @returns whether two participants are reached at the same places. */
export function areSame(one: ParticipantLinks, other: ParticipantLinks): boolean {
  return headerOf(one) === headerOf(other);
}

import { InvalidOptionsError } from '../coordinator/index.js';

/** A link from a transaction to another tool, such as its trace or its log lines. @publicApi */
export interface LinkTemplate {
  /** What people read, such as `Trace`: at most 40 characters. */
  readonly label: string;
  /**
   * An address with http or https, in which `{transactionId}`, `{traceId}`, `{requestId}` and `{name}` stand for those of the
   * transaction. They may stand anywhere behind the host, and are encoded. A link is left out where the transaction has no such value.
   */
  readonly url: string;
}

/** The placeholders of a link. */
export const LINK_PLACEHOLDERS = ['transactionId', 'traceId', 'requestId', 'name'] as const;

const MAX_LINKS = 10;
const MAX_LABEL = 40;
const MAX_URL = 2_000;
const PLACEHOLDER = /\{([^{}]*)\}/g;

/** The links of a transaction to other tools, checked. */
export class Links {
  readonly templates: readonly LinkTemplate[];

  /** @throws InvalidOptionsError when one is impossible. */
  constructor(given: unknown = []) {
    const problems = linkProblemsOf(given);
    if (problems.length > 0) throw new InvalidOptionsError('OperationsModule', problems);
    this.templates = (given as readonly LinkTemplate[]).map(({ label, url }) => ({ label, url }));
  }
}

/** @returns what is wrong with the option, which may come from JavaScript or from a factory. */
export function linkProblemsOf(given: unknown): string[] {
  if (given === undefined) return [];
  if (!Array.isArray(given) || given.length > MAX_LINKS)
    return [
      `links: must be a list of at most ${MAX_LINKS} links, such as { label: 'Trace', url: 'https://traces.example/{traceId}' }`,
    ];
  return given.flatMap((link: unknown, index) => {
    const { label, url, ...unknown } = (link ?? {}) as Record<string, unknown>;
    const at = `links[${index}]`;
    const problems = Object.keys(unknown).map((key) => `${at}.${key}: is not an option of a link`);
    if (typeof label !== 'string' || label.trim() === '' || label.length > MAX_LABEL)
      problems.push(`${at}.label: must be a text of 1 to ${MAX_LABEL} characters`);
    const problem = typeof url === 'string' ? urlProblemOf(url) : 'must be a text';
    if (problem !== undefined) problems.push(`${at}.url: ${problem}`);
    return problems;
  });
}

function urlProblemOf(url: string): string | undefined {
  if (url.length > MAX_URL) return `must have at most ${MAX_URL} characters`;
  const known: readonly string[] = LINK_PLACEHOLDERS;
  const wrong = [...url.matchAll(PLACEHOLDER)].find(([, name]) => !known.includes(name!));
  if (wrong !== undefined)
    return `${wrong[0]} is no placeholder, which are ${LINK_PLACEHOLDERS.map((name) => `{${name}}`).join(', ')}`;
  const [one, other] = ['a', 'b'].map((value) => {
    const filled = url.replaceAll(PLACEHOLDER, value);
    return URL.canParse(filled) ? new URL(filled) : undefined;
  });
  if (one === undefined || other === undefined)
    return 'must be an address, such as https://traces.example/{traceId}';
  if (!/^https?:\/\//i.test(url) || !['http:', 'https:'].includes(one.protocol))
    return 'must begin with http:// or https://';
  if (one.username !== '' || one.password !== '')
    return 'must not contain a user or a password: every reader sees it';
  if (one.origin !== other.origin)
    return 'must have no placeholder in its host: the host must not depend on the transaction';
  return undefined;
}

import { InvalidOptionsError } from '../coordinator/index.js';

/** A link from a transaction to another tool, such as its trace or its log lines. @publicApi */
export interface LinkTemplate {
  /** The text of the link, such as `Trace`: at most 40 characters. */
  readonly label: string;
  /**
   * An address with http or https, in which `{transactionId}`, `{traceId}`, `{requestId}` and `{name}` stand
   * for those of the transaction. They may stand anywhere behind the host, and are encoded. A link is left
   * out where the transaction has no such value.
   */
  readonly url: string;
}

/** A link of the dashboard to a page of the application. @publicApi */
export interface PageLink {
  /** The text of the link: at most 40 characters. */
  readonly label: string;
  /** An address with http or https, or a path of this server, such as `/orders`. */
  readonly url: string;
}

/** The placeholders of a link. */
export const LINK_PLACEHOLDERS = ['transactionId', 'traceId', 'requestId', 'name'] as const;

const MAX_LINKS = 10;
const MAX_PAGES = 5;
const MAX_LABEL = 40;
const MAX_URL = 2_000;
const PLACEHOLDER = /\{([^{}]*)\}/g;

/** The answer of `GET /links`. */
export interface LinksView {
  readonly links: readonly LinkTemplate[];
  readonly pages: readonly PageLink[];
}

/** The links of the dashboard, checked. */
export class Links {
  /** Those of a transaction to other tools. */
  readonly templates: readonly LinkTemplate[];
  readonly pages: readonly PageLink[];

  /** @throws InvalidOptionsError when one is impossible. */
  constructor(links: unknown = [], pages: unknown = []) {
    const problems = [...linkProblemsOf(links), ...pageProblemsOf(pages)];
    if (problems.length > 0) throw new InvalidOptionsError('OperationsModule', problems);
    this.templates = (links as readonly LinkTemplate[]).map(({ label, url }) => ({ label, url }));
    this.pages = (pages as readonly PageLink[]).map(({ label, url }) => ({ label, url }));
  }
}

/** @returns the problems of the option `links`, which may come from JavaScript or from a factory. */
export function linkProblemsOf(given: unknown): string[] {
  return listProblemsOf(
    given,
    'links',
    `{ label: 'Trace', url: 'https://traces.example/{traceId}' }`,
    MAX_LINKS,
    urlProblemOf,
  );
}

/** @returns the problems of the option `pages`. */
export function pageProblemsOf(given: unknown): string[] {
  return listProblemsOf(given, 'pages', `{ label: 'Orders', url: '/orders' }`, MAX_PAGES, pageProblemOf);
}

function listProblemsOf(
  given: unknown,
  option: string,
  example: string,
  most: number,
  problemOf: (url: string) => string | undefined,
): string[] {
  if (given === undefined) return [];
  if (!Array.isArray(given) || given.length > most)
    return [`${option}: must be a list of at most ${most} links, such as ${example}`];
  const labels = given.map((link: unknown) => (link as { label?: unknown } | null)?.label);
  return given.flatMap((link: unknown, index) => {
    const { label, url, ...unknown } = (link ?? {}) as Record<string, unknown>;
    const at = `${option}[${index}]`;
    const problems = Object.keys(unknown).map((key) => `${at}.${key}: is not an option of a link`);
    if (typeof label !== 'string' || label.trim() === '' || label.length > MAX_LABEL)
      problems.push(`${at}.label: must be a text of 1 to ${MAX_LABEL} characters`);
    else if (labels.indexOf(label) < index) problems.push(`${at}.label: is that of another link`);
    const problem = typeof url === 'string' ? problemOf(url) : 'must be a text';
    if (problem !== undefined) problems.push(`${at}.url: ${problem}`);
    return problems;
  });
}

/** A browser takes two slashes, or one of each kind, for the beginning of another host. */
const PATH = /^\/(?![/\\])[!-[\]-~]*$/;

function pageProblemOf(url: string): string | undefined {
  if (url.length > MAX_URL) return `must have at most ${MAX_URL} characters`;
  if (PATH.test(url)) return undefined;
  if (!/^https?:\/\//i.test(url) || !URL.canParse(url))
    return 'must be an address with http:// or https://, or a path such as /orders';
  const { username, password } = new URL(url);
  return username === '' && password === ''
    ? undefined
    : 'must not contain a user or a password: every reader sees it';
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

/**
 * Checks the links between the pages of the site, and their headings. It does not request pages of other
 * sites.
 */
import { globSync } from 'node:fs';
import { join, sep } from 'node:path';
import { LinkState, check } from 'linkinator';

const SITE = join(import.meta.dirname, '../../build/site');

/** The first link that is checked is the site itself. */
let origin: string | undefined;
const { links } = await check({
  path: SITE,
  recurse: true,
  checkFragments: true,
  linksToSkip: async (link) => {
    origin ??= new URL(link).origin;
    return !link.startsWith(`${origin}/`);
  },
});

const problems = links
  .filter(({ state }) => state === LinkState.BROKEN)
  .map(({ parent, url }) => `${parent ?? ''} has a broken link: ${url}`);
const reached = new Set(links.filter(({ state }) => state === LinkState.OK).map(({ url }) => pathOf(url)));
const pages = globSync('**/*.html', { cwd: SITE, exclude: ['404.html'] }).map((path) =>
  path.split(sep).join('/'),
);
for (const page of pages) {
  if (page !== 'index.html' && !reached.has(page)) problems.push(`no page leads to ${page}`);
}
for (const problem of problems) console.error(problem);
console.log(`${pages.length} pages: ${problems.length} problems`);
if (problems.length > 0) process.exitCode = 1;

/** @returns the file of a page, without a heading, by its path in the site. */
function pathOf(url: string): string {
  const path = url.replace(/^https?:\/\/[^/]+\//, '').replace(/^.*build\/site\//, '');
  return decodeURI(path.split('#', 1)[0]!).replace(/\/$/, '/index.html');
}

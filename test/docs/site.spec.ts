import { existsSync } from 'node:fs';
import { join } from 'node:path';
import MarkdownIt from 'markdown-it';
import { describe, expect, it } from 'vitest';
import { SIDEBAR } from '../../site/.vitepress/navigation.js';
import { addressOf, anchorOf, linksOfPages, tagsAsText } from '../../site/.vitepress/pages.js';
import { DOCUMENTS } from './documents.js';

const ROOT = join(import.meta.dirname, '../..');
/**
 * The pages that the site leaves out: the page of the registry, and those of tests. The first page has no
 * entry.
 */
const LEFT_OUT = /^(packages|test)\/|^site\/index\.md$/;

/** @returns the HTML of a text that stands in the document with this path. */
function htmlOf(document: string, text: string): string {
  const markdown = new MarkdownIt({ html: true }) as unknown as Parameters<typeof linksOfPages>[0];
  tagsAsText(markdown);
  linksOfPages(markdown);
  return markdown.render(text, { path: join(ROOT, document) });
}

describe('The documentation site', () => {
  it('has every document of the repository in its navigation, and no other page', () => {
    const named = SIDEBAR.flatMap(({ items = [] }) => items.map(({ link }) => link ?? ''))
      .filter((link) => link !== '/reference/')
      .toSorted();
    const documents = DOCUMENTS.filter((document) => !LEFT_OUT.test(document)).map(
      (document) => `/${addressOf(document).replace(/\.md$/, '')}`,
    );
    expect(named).toEqual(documents.toSorted());
    expect(documents.length).toBeGreaterThan(30);
  });

  it.each([
    ['README.md', 'readme.md'],
    ['docs/using.md', 'using.md'],
    ['bench/README.md', 'bench.md'],
    ['samples/services/README.md', 'samples/services.md'],
    ['CHANGELOG.md', 'changelog.md'],
    ['site/reference/nestjs-dtc/index.md', 'reference/nestjs-dtc/index.md'],
  ])('gives %s the address %s', (document, address) => {
    expect(addressOf(document)).toBe(address);
  });

  it('leads from page to page, wherever their documents are', () => {
    expect(htmlOf('docs/using.md', '[figures](../bench/README.md#in-memory)')).toContain(
      'href="/bench.md#in-memory"',
    );
    expect(htmlOf('bench/README.md', '[proof](../docs/proof.md)')).toContain('href="/proof.md"');
    expect(htmlOf('docs/using.md', '[there](https://nestjs.com) [here](#here)')).toMatch(
      /href="https:\/\/nestjs\.com".*href="#here"/,
    );
  });

  it('shows the path of a file that is no page', () => {
    expect(existsSync(join(ROOT, 'src/coordinator/guard'))).toBe(true);
    expect(htmlOf('docs/using.md', '[the guard](../src/coordinator/guard), [a page](faq.md)')).toBe(
      '<p><span title="src/coordinator/guard">the guard</span>, <a href="/faq.md">a page</a></p>\n',
    );
  });

  it('shows text that looks like a tag as text, and hides comments', () => {
    expect(htmlOf('docs/using.md', 'the order <id> <!-- note -->')).toBe('<p>the order &lt;id&gt; </p>\n');
  });

  it('makes anchors as GitHub does', () => {
    expect(anchorOf('A `code`, and more')).toBe('a-code-and-more');
  });
});

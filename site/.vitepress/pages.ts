import { existsSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import type { MarkdownRenderer } from 'vitepress';

const ROOT = join(import.meta.dirname, '../..');
/** The documents of the root, without the reports and copies that the site leaves out. */
const LEFT_OUT = /^(packages|test|build|coverage|data|dashboard)\//;

/**
 * Gives a document of the repository its address: those in `docs` and in `site` have their name, and a README has the name of its
 * folder.
 *
 * @param document its path from the root, as `docs/using.md`.
 * @returns the address with its extension, as `using.md`.
 */
export function addressOf(document: string): string {
  const path = document.replace(/^(docs|site)\//, '');
  if (path === 'README.md') return 'readme.md';
  if (path.endsWith('/README.md')) return `${posix.dirname(path)}.md`;
  return /^[A-Z]+\.md$/.test(path) ? path.toLowerCase() : path;
}

/** @returns the anchor of a heading, as GitHub makes it: the links in the documents are for both. */
export function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-');
}

/** The documents have comments and no other HTML: what looks like a tag, as <id>, is text. */
export function tagsAsText(markdown: MarkdownRenderer): void {
  const {
    rules,
    rules: { text },
  } = markdown.renderer;
  const shown: typeof text = (tokens, index, ...rest) =>
    tokens[index]!.content.startsWith('<!--') ? '' : text!(tokens, index, ...rest);
  Object.assign(rules, { html_inline: shown, html_block: shown });
}

/**
 * Makes the links of a document those of the site. What a document says of a file that is no page of the site stays, and shows
 * the path of the file.
 */
export function linksOfPages(markdown: MarkdownRenderer): void {
  markdown.core.ruler.push('links-of-pages', ({ tokens, env }) => {
    const { path, realPath = path } = env as { readonly path: string; readonly realPath?: string };
    const folder = dirname(relative(ROOT, realPath));
    for (const { children } of tokens) {
      let isFile = false;
      for (const token of children ?? []) {
        if (token.type === 'link_open') {
          const target = targetOf(folder, token.attrGet('href') ?? '');
          if (target === undefined) continue;
          isFile = 'file' in target;
          if ('page' in target) token.attrSet('href', target.page);
          else Object.assign(token, { tag: 'span', attrs: [['title', target.file]], type: 'file_open' });
        } else if (token.type === 'link_close' && isFile) {
          Object.assign(token, { tag: 'span', type: 'file_close' });
          isFile = false;
        }
      }
    }
  });
}

/** @returns the page or file of the repository that a link leads to; undefined for every other link. */
function targetOf(
  folder: string,
  href: string,
): { readonly page: string } | { readonly file: string } | undefined {
  if (/^([a-z]+:|\/|#)/.test(href)) return undefined;
  const [path, anchor] = href.split('#', 2) as [string, string?];
  const file = join(folder, decodeURI(path)).split(sep).join('/');
  if (!existsSync(join(ROOT, file))) return undefined;
  if (!file.endsWith('.md') || LEFT_OUT.test(file)) return { file };
  return { page: `/${addressOf(file)}${anchor === undefined ? '' : `#${anchor}`}` };
}

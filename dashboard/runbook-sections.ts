import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import MarkdownIt from 'markdown-it';
import type { Plugin } from 'vite';

/** The paragraphs of the runbook by their headings, in small letters. */
export type RunbookSections = Readonly<Record<string, { readonly title: string; readonly html: string }>>;

const MODULE = 'virtual:runbook';

/** Gives the page the runbook as a module, which it loads when it is asked for. */
export function runbook(): Plugin {
  return {
    name: 'runbook',
    resolveId: (id) => (id === MODULE ? `\0${MODULE}` : undefined),
    load: (id) => {
      if (id !== `\0${MODULE}`) return undefined;
      const text = readFileSync(join(import.meta.dirname, '../docs/runbook.md'), 'utf8');
      return `export default ${JSON.stringify(sectionsOf(text))}`;
    },
  };
}

/** @param text the runbook, as Markdown. A heading may name several paragraphs: `DTC_A, DTC_B`. */
export function sectionsOf(text: string): RunbookSections {
  const markdown = new MarkdownIt();
  const sections = text.split(/^### /m).slice(1);
  return Object.fromEntries(
    sections.flatMap((section) => {
      const [title = '', ...lines] = section.split('\n');
      const body = lines.join('\n').split(/^## /m)[0] ?? '';
      const html = markdown.render(withinTheDashboard(body));
      return title.split(', ').map((name) => [name.toLowerCase(), { title, html }]);
    }),
  );
}

/** Links to other paragraphs stay in the dashboard, which has no other document. */
function withinTheDashboard(text: string): string {
  return text
    .replaceAll(/\]\(#(dtc\w+)\)/gi, '](#/runbook/$1)')
    .replaceAll(/\[([^\]]+)\]\((?!#\/runbook\/)[^)]*\)/g, '$1');
}

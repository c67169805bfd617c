import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { errorCodes } from './error-codes.js';

/**
 * The runbook has a paragraph for every alert. Its index is made from its headings:
 * `UPDATE_DOCS=1 npx vitest run test/docs` writes it anew.
 */
const root = join(import.meta.dirname, '../..');
const path = join(root, 'docs/runbook.md');
const text = readFileSync(path, 'utf8');

interface Alert {
  readonly alert: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly runbook_url: string };
}

const rules = parse(readFileSync(join(root, 'deploy/prometheus/alerts.yml'), 'utf8')) as {
  groups: { rules: Alert[] }[];
};
const alerts = rules.groups.flatMap((group) => group.rules);

/** The sections on alerts and codes, each with its paragraphs; one paragraph may be about several codes. */
const sections = text
  .split(/^## /m)
  .slice(1)
  .map((section) => ({
    title: section.slice(0, section.indexOf('\n')),
    paragraphs: section
      .split(/^### /m)
      .slice(1)
      .map((paragraph) => ({
        heading: paragraph.slice(0, paragraph.indexOf('\n')),
        body: paragraph.slice(paragraph.indexOf('\n')).trim(),
      })),
  }))
  .filter(({ paragraphs }) => paragraphs.length > 0);

const paragraphs = sections.flatMap((section) => section.paragraphs);
const names = paragraphs.flatMap(({ heading }) => heading.split(', '));

/** @returns the anchor of a heading, as the usual renderers make it. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\w -]/g, '')
    .replaceAll(' ', '-');
}

describe('the runbook', () => {
  it('has one paragraph for every alert and every error code, and no others', () => {
    const wanted = [...alerts.map(({ alert }) => alert), ...errorCodes()];

    expect(wanted.length).toBeGreaterThan(60);
    expect(names.toSorted()).toEqual(wanted.toSorted());
  });

  it.each(paragraphs)(
    'says of $heading in few words what it means, which actions are safe and what to do',
    ({ body }) => {
      expect(body).toMatch(/^\*\*Means:\*\* \S[^]*\n\n\*\*Safe:\*\* \S[^]*\n\n\*\*Do:\*\* \S[^]*\.$/);
      expect(body.match(/^\*\*/gm)).toHaveLength(3);
      expect(body.split(/\s+/).length).toBeLessThan(150);
    },
  );

  it('has the most urgent alerts first', () => {
    const ranks = names
      .map((name) => alerts.find(({ alert }) => alert === name)?.labels.severity)
      .filter((severity) => severity !== undefined)
      .map((severity) => ['critical', 'warning'].indexOf(severity));

    expect(ranks).toHaveLength(alerts.length);
    expect(ranks).toEqual(ranks.toSorted((one, other) => one - other));
    expect(ranks.length).toBe(names.findIndex((name) => name.startsWith('DTC_')));
  });

  it('is where the alerts say that it is', () => {
    const anchors = new Set(paragraphs.map(({ heading }) => `#${anchorOf(heading)}`));

    expect(
      alerts
        .map(({ annotations }) => annotations.runbook_url)
        .filter((url) => !anchors.has(url.slice(url.indexOf('#')))),
    ).toEqual([]);
  });

  it('has an index of its headings at the top', () => {
    const [begin, end] = ['<!-- index: made from the headings -->', '<!-- /index -->'];
    const index = sections
      .map(({ title, paragraphs }) => {
        const links = paragraphs.map(({ heading }) => `[${heading}](#${anchorOf(heading)})`);
        return `- **${title}**: ${links.join(' · ')}`;
      })
      .join('\n');
    const [from, to] = [text.indexOf(begin), text.indexOf(end)];
    expect(from).toBeGreaterThan(-1);
    expect(from).toBeLessThan(text.indexOf('\n## '));

    const wanted = `${begin}\n\n${index}\n\n`;
    if (process.env['UPDATE_DOCS'] === '1')
      writeFileSync(path, text.slice(0, from) + wanted + text.slice(to));
    expect(readFileSync(path, 'utf8')).toContain(wanted + end);
  });

  it('points only to alerts and codes that it has', () => {
    const mentioned = text.match(/`Dtc[A-Z]\w+`/g) ?? [];

    expect(mentioned.map((name) => name.slice(1, -1)).filter((name) => !names.includes(name))).toEqual([]);
  });
});

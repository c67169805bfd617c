import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DOCUMENTS } from './documents.js';
import { idiomsIn, idiomsInMarkdown } from './plain-english.js';

const root = join(import.meta.dirname, '../..');

/** Texts that an operator reads beside the documents. */
const DEPLOYED = [
  '.ci/run',
  'Dockerfile',
  'compose.yaml',
  'deploy/grafana/dashboards/transactions.json',
  'deploy/make-secrets.sh',
  'deploy/prometheus/alerts.yml',
  'deploy/prometheus/prometheus.yml',
];

describe('plain English', () => {
  it.each(DOCUMENTS)('%s has no expression that stops a reader', (name) => {
    const found = idiomsInMarkdown(readFileSync(join(root, name), 'utf8'));

    expect(found.map(({ line, words, instead }) => `${name}:${line} "${words}": ${instead}`)).toEqual([]);
  });

  it.each(DEPLOYED)('%s has no expression that stops a reader', (name) => {
    const found = idiomsIn(readFileSync(join(root, name), 'utf8').replaceAll(/\n *#/g, '\n'));

    expect(found.map(({ line, words, instead }) => `${name}:${line} "${words}": ${instead}`)).toEqual([]);
  });

  it('reads every document', () => {
    expect(DOCUMENTS).toContain('README.md');
    expect(DOCUMENTS).toContain('docs/design.md');
    expect(DOCUMENTS).toContain('samples/consumer/README.md');
  });

  it.each([
    ['Whoever asks is told', 'Whoever'],
    ['seen by\nnobody', 'nobody'],
    ['it is mended by hand', 'mended'],
    ['kept for\never', 'for ever'],
    ['from the begin of the vote', 'the begin'],
    ['a fault befell it', 'befell'],
    ['the same, to the letter', 'to the letter'],
    ['this is of no consequence', 'of no consequence'],
    ['a decision is never turned round', 'turned round'],
    ['it turns a decision round', 'turns a decision round'],
  ])('finds "%s"', (text, words) => {
    expect(idiomsIn(text)).toMatchObject([{ line: text.startsWith('seen') ? 2 : 1, words }]);
  });

  it('has no relative clause for a subject', () => {
    const said =
      'It stops. What hangs is cut.\n\nWhat is over waits.\n\n- Who asks is told.\n\n1. Whatever fails, fails.\n';

    expect(idiomsInMarkdown(said).map(({ words }) => words)).toEqual(['What', 'What', 'Who', 'Whatever']);
  });

  it('may ask, name a section by a question, and show code', () => {
    const said =
      '# What it is\n\nWhat is a vote? It is an answer to `nobody`, and `begin()` is the method.\n\n```ts\nx\n\nWhat\n```\n';

    expect(idiomsInMarkdown(said)).toEqual([]);
  });
});

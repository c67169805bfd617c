import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { METRICS } from '../../src/coordinator/observation/metrics/index.js';
import { OUTBOX_METRICS } from '../../src/outbox/metrics.js';

const PATH = join(import.meta.dirname, '../../docs/metrics.md');
const BEGIN = '<!-- metrics: made from the code -->';
const END = '<!-- /metrics -->';

function metricTable(): string {
  const rows = [...METRICS, ...OUTBOX_METRICS].map(({ name, type, labels, help }) => {
    const labelNames = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${labelNames} | ${help} |`;
  });
  return ['| metric | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** The padding that a formatter adds does not count. */
function squeeze(text: string): string {
  return text
    .replace(/[ \t]+/g, ' ')
    .replace(/-{3,}/g, '---')
    .trim();
}

/** `UPDATE_DOCS=1 npx vitest run test/docs` writes the table anew, as it does the others. */
it('the documentation has the table of metrics as the code has it', () => {
  const [before, rest = ''] = readFileSync(PATH, 'utf8').split(BEGIN) as [string, string?];
  const [table, after] = rest.split(END) as [string, string?];
  expect(after, `docs/metrics.md has both markers`).toBeDefined();
  const wanted = metricTable();
  if (process.env['UPDATE_DOCS'] === '1')
    writeFileSync(PATH, `${before}${BEGIN}\n\n${wanted}\n\n${END}${after}`);
  else expect(squeeze(table)).toBe(squeeze(wanted));
});

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { applicationSchema } from '../../src/configuration.js';
import { coordinatorProgramSchema } from '../../src/coordinator-configuration.js';
import { coordinatorOptionsSchema } from '../../src/coordinator/coordinator.options.js';
import { LEGAL_TRANSITIONS, STATES } from '../../src/coordinator/index.js';
import { participantOptionsSchema } from '../../src/coordinator/participant/participant.options.js';
import { postgresLogSettingsSchema } from '../../src/postgres/log/options.js';
import { mariaDbSettingsSchema } from '../../src/mariadb/options.js';
import { relaySettingsSchema } from '../../src/outbox/options.js';
import { postgresSettingsSchema } from '../../src/postgres/options.js';
import { DOCUMENTS, targetOf } from './documents.js';
import { errorCodes } from './error-codes.js';
import { memberTexts, optionTable, variableTable } from './option-texts.js';

/**
 * The tables of the documentation and the docstrings of options are made from the code. One that is out of date fails here;
 * `UPDATE_DOCS=1 npx vitest run test/docs` writes it anew.
 */
const root = join(import.meta.dirname, '../..');

function stateTable(): string {
  const rows = STATES.map((state) => {
    const next = LEGAL_TRANSITIONS[state];
    return `| \`${state}\` | ${next.length === 0 ? 'final' : next.map((to) => `\`${to}\``).join(', ')} |`;
  });
  return ['| state | next |', '| --- | --- |', ...rows].join('\n');
}

/** The texts that are made from the code, each between two comments with its marker. */
const MADE = [
  { file: 'docs/design.md', marker: 'states', make: stateTable },
  {
    file: 'docs/options.md',
    marker: 'options',
    make: () => optionTable(coordinatorOptionsSchema, ['default', 'limits']),
  },
  {
    file: 'docs/options.md',
    marker: 'participant-options',
    make: () => optionTable(participantOptionsSchema, ['limits']),
  },
  {
    file: 'docs/options.md',
    marker: 'variables',
    make: () => variableTable(applicationSchema, ['default', 'limits']),
  },
  {
    file: 'docs/server.md',
    marker: 'coordinator-variables',
    make: () => variableTable(coordinatorProgramSchema, ['default', 'limits']),
  },
  {
    file: 'docs/postgres.md',
    marker: 'options',
    make: () => optionTable(postgresSettingsSchema, ['default', 'limits']),
  },
  {
    file: 'docs/mariadb.md',
    marker: 'options',
    make: () => optionTable(mariaDbSettingsSchema, ['default', 'limits']),
  },
  {
    file: 'docs/messages.md',
    marker: 'relay-options',
    make: () => optionTable(relaySettingsSchema, ['default', 'limits']),
  },
  {
    file: 'src/outbox/options.ts',
    marker: 'options',
    make: () => memberTexts(relaySettingsSchema),
  },
  {
    file: 'src/mariadb/options.ts',
    marker: 'options',
    make: () => memberTexts(mariaDbSettingsSchema),
  },
  {
    file: 'src/coordinator/coordinator.options.ts',
    marker: 'options',
    make: () => memberTexts(coordinatorOptionsSchema),
  },
  {
    file: 'src/coordinator/participant/participant.options.ts',
    marker: 'options',
    make: () =>
      memberTexts(participantOptionsSchema, (option) =>
        option in coordinatorOptionsSchema.shape ? `the coordinator's \`${option}\`` : undefined,
      ),
  },
  {
    file: 'docs/durability.md',
    marker: 'postgres-log-options',
    make: () => optionTable(postgresLogSettingsSchema, ['default', 'limits']),
  },
  {
    file: 'src/postgres/log/options.ts',
    marker: 'options',
    make: () => memberTexts(postgresLogSettingsSchema),
  },
  {
    file: 'src/postgres/options.ts',
    marker: 'options',
    make: () => memberTexts(postgresSettingsSchema),
  },
] as const;

describe('the documentation', () => {
  it.each(MADE)('has "$marker" of $file as the code has it', ({ file, marker, make }) => {
    const path = join(root, file);
    const [before, between, after] = file.endsWith('.ts')
      ? [`  // ${marker}: made from the code\n`, make(), `  // /${marker}\n`]
      : [`<!-- ${marker}: made from the code -->\n\n`, `${make()}\n\n`, `<!-- /${marker} -->`];
    const text = readFileSync(path, 'utf8');
    const from = text.indexOf(before);
    const to = text.indexOf(after);
    expect(from, `${file} has the marker ${before}`).toBeGreaterThan(-1);
    expect(to).toBeGreaterThan(from);
    if (process.env['UPDATE_DOCS'] === '1') {
      writeFileSync(path, text.slice(0, from) + before + between + text.slice(to));
      return;
    }
    expect(squeeze(text.slice(from + before.length, to))).toBe(squeeze(between));
  });

  it('explains every error code that the code has', () => {
    // What to do about each is in the runbook, which has a test of its own.
    const documents = DOCUMENTS.filter((name) => name !== 'docs/runbook.md').map((name) =>
      readFileSync(join(root, name), 'utf8'),
    );
    const codes = errorCodes();
    expect(codes.length).toBeGreaterThan(15);
    const missing = codes.filter((code) => !documents.some((text) => text.includes(`\`${code}\``)));
    expect(missing).toEqual([]);
  });

  it('has a README that is read in a few minutes', () => {
    const words = readFileSync(join(root, 'README.md'), 'utf8').split(/\s+/);

    expect(words.length).toBeLessThanOrEqual(1_800);
  });

  it('has a README that leads to every page', () => {
    const text = readFileSync(join(root, 'README.md'), 'utf8');
    const pages = DOCUMENTS.filter((name) => name.startsWith('docs/'));

    expect(pages.length).toBeGreaterThan(15);
    expect(pages.filter((page) => !text.includes(`](${page})`))).toEqual([]);
  });

  it('points only to files that are there', () => {
    for (const file of DOCUMENTS) {
      const text = readFileSync(join(root, file), 'utf8');
      for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        const path = join(root, targetOf(file, target!));
        expect(() => readdirOrRead(path), `${file} points to ${target}`).not.toThrow();
      }
    }
  });
});

/** Tables are compared as a reader sees them: the padding that a formatter adds does not count. */
function squeeze(text: string): string {
  return text
    .replace(/[ \t]+/g, ' ')
    .replace(/-{3,}/g, '---')
    .trim();
}

function readdirOrRead(path: string): unknown {
  try {
    return readdirSync(path);
  } catch {
    return readFileSync(path);
  }
}

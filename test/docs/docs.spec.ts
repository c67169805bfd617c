import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { FILE_SUFFIX } from '../../src/common/config/secret-file.js';
import { variablesOf } from '../../src/common/config/environment.js';
import { applicationSchema } from '../../src/configuration.js';
import { coordinatorOptionsSchema } from '../../src/coordinator/coordinator.options.js';
import { LEGAL_TRANSITIONS, STATES } from '../../src/coordinator/index.js';
import { participantOptionsSchema } from '../../src/coordinator/participant/participant.options.js';
import { errorCodes } from './error-codes.js';

/**
 * The tables of the documentation are made from the code. A table that is out of date fails here;
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

function optionTable(schema: z.ZodObject, columns: readonly ('default' | 'limits')[]): string {
  return settingTable(schema, Object.keys(schema.shape), 'option', columns);
}

/** The variables of the application; one that may come from a file has both of its names. */
function variableTable(): string {
  const names = variablesOf(applicationSchema, '').map(({ name, isSecret }) =>
    isSecret ? `${name}\`, \`${name}${FILE_SUFFIX}` : name,
  );
  return settingTable(applicationSchema, names, 'variable', ['default', 'limits']);
}

/** @param names of the fields of the schema, in their order. */
function settingTable(
  schema: z.ZodObject,
  names: readonly string[],
  kind: string,
  columns: readonly ('default' | 'limits')[],
): string {
  const rows = Object.values(schema.shape).map((field, index) => {
    const type = field as z.ZodType;
    const preset = type.safeParse(undefined).data as string | number | boolean | undefined;
    const cells = {
      default: preset === undefined ? '' : `\`${preset}\``,
      limits: limitsOf(type),
    };
    return `| \`${names[index]}\` | ${[...columns.map((column) => cells[column]), type.description ?? ''].join(' | ')} |`;
  });
  const head = [kind, ...columns, 'meaning'];
  return [`| ${head.join(' | ')} |`, `| ${head.map(() => '---').join(' | ')} |`, ...rows].join('\n');
}

/** The limits of a number, or the words that are taken, read off the JSON schema. */
function limitsOf(type: z.ZodType): string {
  const limits = type.toJSONSchema({ io: 'input' }) as {
    minimum?: number;
    maximum?: number;
    enum?: string[];
  };
  const { minimum, maximum, enum: words } = limits;
  if (words !== undefined) return words.map((word) => `\`${word}\``).join(', ');
  return minimum === undefined || maximum === undefined
    ? ''
    : `${minimum.toLocaleString('en')} to ${maximum.toLocaleString('en')}`;
}

const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  'deploy/README.md',
  'test/model/README.md',
  'bench/README.md',
  'test/faults/README.md',
];

const TABLES = [
  { file: 'docs/design.md', marker: 'states', make: stateTable },
  {
    file: 'README.md',
    marker: 'options',
    make: () => optionTable(coordinatorOptionsSchema, ['default', 'limits']),
  },
  {
    file: 'README.md',
    marker: 'participant-options',
    make: () => optionTable(participantOptionsSchema, ['limits']),
  },
  { file: 'README.md', marker: 'variables', make: variableTable },
] as const;

describe('the documentation', () => {
  it.each(TABLES)('has the table "$marker" of $file as the code has it', ({ file, marker, make }) => {
    const path = join(root, file);
    const text = readFileSync(path, 'utf8');
    const begin = `<!-- ${marker}: made from the code -->`;
    const end = `<!-- /${marker} -->`;
    const from = text.indexOf(begin);
    const to = text.indexOf(end);
    expect(from, `${file} has the marker ${begin}`).toBeGreaterThan(-1);
    expect(to).toBeGreaterThan(from);
    const wanted = `${begin}\n\n${make()}\n\n`;
    if (process.env['UPDATE_DOCS'] === '1')
      writeFileSync(path, text.slice(0, from) + wanted + text.slice(to));
    expect(squeeze(readFileSync(path, 'utf8').slice(from))).toContain(squeeze(wanted));
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

  it('points only to files that are there', () => {
    for (const file of DOCUMENTS) {
      const text = readFileSync(join(root, file), 'utf8');
      for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        const path = join(root, file, '..', target!);
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

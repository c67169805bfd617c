import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import { coordinatorOptionsSchema } from '../../src/coordinator/coordinator.options.js';
import { LEGAL_TRANSITIONS, STATES } from '../../src/coordinator/index.js';
import { participantOptionsSchema } from '../../src/coordinator/participant/participant.options.js';

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
  const rows = Object.entries(schema.shape).map(([name, field]) => {
    const type = field as z.ZodType;
    const accepted = schema.shape[name]!.safeParse(undefined);
    const cells = {
      default: accepted.success && accepted.data !== undefined ? `\`${String(accepted.data)}\`` : '',
      limits: limitsOf(type),
    };
    return `| \`${name}\` | ${[...columns.map((column) => cells[column]), type.description ?? ''].join(' | ')} |`;
  });
  const head = ['option', ...columns, 'meaning'];
  return [`| ${head.join(' | ')} |`, `| ${head.map(() => '---').join(' | ')} |`, ...rows].join('\n');
}

/** The limits of a number, read off its JSON schema. */
function limitsOf(type: z.ZodType): string {
  const { minimum, maximum } = type.toJSONSchema({ io: 'input' }) as { minimum?: number; maximum?: number };
  return minimum === undefined || maximum === undefined
    ? ''
    : `${minimum.toLocaleString('en')} to ${maximum.toLocaleString('en')}`;
}

const DOCUMENTS = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'CHANGELOG.md',
  'docs/design.md',
  'docs/durability.md',
  'docs/extending.md',
  'docs/mutation-testing.md',
  'docs/postgres.md',
  'docs/proof.md',
  'test/model/README.md',
  'docs/faults.md',
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
    const documents = ['README.md', 'docs/postgres.md']
      .filter((name) => existsSync(join(root, name)))
      .map((name) => readFileSync(join(root, name), 'utf8'));
    const codes = new Set(sources().flatMap((text) => text.match(/'DTC_[A-Z_]+[A-Z]'/g) ?? []));
    expect(codes.size).toBeGreaterThan(15);
    const missing = [...codes]
      .map((code) => code.slice(1, -1))
      .filter((code) => !documents.some((text) => text.includes(`\`${code}\``)));
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

function sources(): string[] {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.spec.ts'))
    .map((file) => readFileSync(join(root, 'src', file), 'utf8'));
}

function readdirOrRead(path: string): unknown {
  try {
    return readdirSync(path);
  } catch {
    return readFileSync(path);
  }
}

import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GuardTable } from '../../src/postgres/guard/table.js';
import { SQLSTATES } from '../../src/postgres/sqlstate.js';

const repository = resolve(import.meta.dirname, '../..');
const guide = readFileSync(join(repository, 'docs/postgres.md'), 'utf8');

function sourcesIn(folder: string): string[] {
  return readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(repository, folder, file), 'utf8'));
}

/** A method stands less deep in the guide than in its class, so white space does not count. */
function bare(text: string): string {
  return text.replaceAll(/\s+/g, '');
}

describe('the guide to PostgreSQL participants', () => {
  it('explains every code of an error and of a refusal', () => {
    const errors = sourcesIn('src/postgres').flatMap(
      (source) => source.match(/'DTC_POSTGRES_[A-Z_]+'/g) ?? [],
    );
    const refusals = Object.values(SQLSTATES).flatMap(({ refusal }) => refusal?.code ?? []);
    for (const code of [...errors.map((quoted) => quoted.slice(1, -1)), ...refusals]) {
      expect(guide).toContain(`\`${code}\``);
    }
    expect(errors.length).toBeGreaterThan(10);
  });

  it('shows the guard table as it is created', () => {
    expect(bare(guide)).toContain(bare(`${new GuardTable('dtc_branches').create()};`));
  });
});

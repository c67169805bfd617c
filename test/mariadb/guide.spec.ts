import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_NUMBERS } from '../../src/mariadb/errno.js';
import { GuardTable } from '../../src/mariadb/guard/table.js';

const repository = resolve(import.meta.dirname, '../..');
const guide = readFileSync(join(repository, 'docs/mariadb.md'), 'utf8');

function sourcesIn(folder: string): string[] {
  return readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(repository, folder, file), 'utf8'));
}

const bare = (text: string): string => text.replaceAll(/\s+/g, '');

describe('the guide to MariaDB participants', () => {
  it('explains every code of an error and of a refusal, with its number', () => {
    const errors = sourcesIn('src/mariadb').flatMap((source) => source.match(/'DTC_MARIADB_[A-Z_]+'/g) ?? []);
    const refusals = Object.entries(ERROR_NUMBERS).filter(([, { refusal }]) => refusal !== undefined);
    for (const code of errors) expect(guide).toContain(`\`${code.slice(1, -1)}\``);
    for (const [number, { refusal, name }] of refusals) {
      const row = guide.split('\n').find((line) => line.startsWith(`| \`${refusal!.code}\``));
      if (!name.includes('MySQL')) expect(row).toContain(number);
    }
    expect(errors.length).toBeGreaterThan(10);
  });

  it('shows the guard table as it is created', () => {
    expect(bare(guide)).toContain(bare(`${new GuardTable('dtc_branches').create()};`));
  });
});

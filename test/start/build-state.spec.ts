import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isBuilt, noteAfter, noteBefore } from '../../scripts/start/build-state.ts';

const PROGRAMS = [
  'main.js',
  'main-postgres.js',
  'main-cluster.js',
  'main-coordinator.js',
  'main-member.js',
  'main-log-check.js',
];
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'build-state-'));
  for (const file of ['src/main.ts', 'src/orders/orders.ts', 'dashboard/index.html', 'package.json'])
    write(file);
  build();
});

afterEach(() => rmSync(root, { recursive: true }));

function write(file: string, text = file): void {
  mkdirSync(dirname(join(root, file)), { recursive: true });
  writeFileSync(join(root, file), text);
}

/** @param meanwhile an action that runs during the build. */
function build(meanwhile?: () => void): void {
  noteBefore(root);
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  meanwhile?.();
  for (const file of [...PROGRAMS, 'dashboard/index.html']) write(`dist/${file}`);
  noteAfter(root);
}

describe('the inputs of a build', () => {
  it('is not built again', () => {
    expect(isBuilt(root)).toBe(true);
  });

  it('is not built again because a checkout has changed the times of its files, or a test', () => {
    utimesSync(join(root, 'src/main.ts'), new Date(), new Date());
    write('src/main.spec.ts', 'another test');

    expect(isBuilt(root)).toBe(true);
  });

  it.each<[string, () => void]>([
    ['a source is changed', () => write('src/main.ts', 'other')],
    ['a source is added', () => write('src/orders/added.ts')],
    ['a source is deleted', () => rmSync(join(root, 'src/orders/orders.ts'))],
    ['the dashboard is changed', () => write('dashboard/index.html', 'other')],
    ['the runbook is changed, which the dashboard shows', () => write('docs/runbook.md', 'other')],
    ['the packages are changed', () => write('package-lock.json', '{}')],
    ['a part of the build is deleted', () => rmSync(join(root, 'dist/dashboard/index.html'))],
  ])('is built again when %s', (_, change) => {
    change();

    expect(isBuilt(root)).toBe(false);
    build();
    expect(isBuilt(root)).toBe(true);
  });

  it('is built again when a source was changed while it was built', () => {
    build(() => write('src/main.ts', 'changed during the build'));

    expect(isBuilt(root)).toBe(false);
  });

  it('is built again after a build that was interrupted', () => {
    noteBefore(root);
    rmSync(join(root, 'dist'), { recursive: true });
    for (const file of [...PROGRAMS, 'dashboard/index.html']) write(`dist/${file}`);

    expect(isBuilt(root)).toBe(false);
  });
});

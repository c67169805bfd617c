import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadedBy } from '../../test/support/loaded-modules.js';

describe('The entry of participant hosts', () => {
  it('loads no coordinator: only the contract of participants, the guard and what they need', () => {
    const loaded = [...loadedBy('host/index.ts')];
    expect(loaded).toContain('coordinator/guard/replica-guard.ts');
    const folders = new Set(loaded.map((path) => dirname(path)));
    expect([...folders].toSorted()).toEqual([
      'coordinator',
      'coordinator/gate',
      'coordinator/guard',
      'coordinator/observation/tracing',
      'coordinator/participant',
      'coordinator/protocol',
      'hop',
      'host',
      'remote/wire',
    ]);
    expect(loaded.filter((path) => dirname(path) === 'coordinator').toSorted()).toEqual([
      'coordinator/describe-issues.ts',
      'coordinator/end-all.ts',
      'coordinator/errors.ts',
      'coordinator/version.ts',
      'coordinator/within.ts',
    ]);
  });
});

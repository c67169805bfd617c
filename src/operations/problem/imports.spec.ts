import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadedBy } from '../../../test/support/loaded-modules.js';

describe('The entry of problems', () => {
  it('loads no coordinator, so that a service without one can answer with it', () => {
    const loaded = [...loadedBy('operations/problem/index.ts')];
    expect([...new Set(loaded.map((path) => dirname(path)))].toSorted()).toEqual([
      'coordinator',
      'coordinator/declarative',
      'coordinator/gate',
      'coordinator/observation/tracing',
      'coordinator/participant',
      'operations/problem',
    ]);
    expect(loaded.filter((path) => dirname(path) === 'coordinator')).toEqual(['coordinator/errors.ts']);
  });
});

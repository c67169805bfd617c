import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadedBy } from '../../test/support/loaded-modules.js';

describe('The entry of callers', () => {
  it('loads no coordinator: only decorated methods, requests and what they need', () => {
    const loaded = [...loadedBy('client/index.ts')].toSorted();
    const folders = [...new Set(loaded.map((path) => dirname(path)))].toSorted();
    expect(folders).toEqual([
      'client',
      'coordinator',
      'coordinator/declarative',
      'coordinator/gate',
      'coordinator/observation/tracing',
      'coordinator/participant',
      'coordinator/protocol',
      'hop',
      'remote/wire',
      'server/wire',
    ]);
    expect(loaded.filter((path) => dirname(path) === 'coordinator')).toEqual([
      'coordinator/describe-issues.ts',
      'coordinator/errors.ts',
      'coordinator/option-fields.ts',
      'coordinator/transaction-scope.ts',
    ]);
  });
});

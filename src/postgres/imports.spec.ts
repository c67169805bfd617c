import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadedBy } from '../../test/support/loaded-modules.js';

describe('The entry of PostgreSQL', () => {
  it('loads no coordinator, beside participant hosts: only contracts, the guard and what they need', () => {
    const loaded = loadedBy('postgres/index.ts', loadedBy('host/index.ts'));
    expect(loaded).toContain('coordinator/log/record-shapes.ts');
    const core = [...loaded].filter((path) => path.startsWith('coordinator/'));
    const folders = new Set(core.map((path) => dirname(path)));
    expect([...folders].toSorted()).toEqual([
      'coordinator',
      'coordinator/gate',
      'coordinator/guard',
      'coordinator/log',
      'coordinator/observation/tracing',
      'coordinator/participant',
      'coordinator/protocol',
    ]);
    expect(core.filter((path) => dirname(path) === 'coordinator').toSorted()).toEqual([
      'coordinator/describe-issues.ts',
      'coordinator/end-all.ts',
      'coordinator/errors.ts',
      'coordinator/histogram.ts',
      'coordinator/option-fields.ts',
      'coordinator/version.ts',
      'coordinator/within.ts',
    ]);
    // The contract of participants, and neither their registry nor their calls.
    expect(core.filter((path) => dirname(path) === 'coordinator/participant').toSorted()).toEqual([
      'coordinator/participant/caller-note.ts',
      'coordinator/participant/given-branch.ts',
      'coordinator/participant/inspection.ts',
      'coordinator/participant/participant-methods.ts',
      'coordinator/participant/participant.accessor.ts',
      'coordinator/participant/participant.decorator.ts',
      'coordinator/participant/participant.ts',
      'coordinator/participant/run-lineage.ts',
    ]);
  });
});

import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadedBy } from '../../test/support/loaded-modules.js';

describe('The entry of the transports of Nest', () => {
  it('loads no coordinator, so that a participant host can use it', () => {
    const loaded = [...loadedBy('microservices/index.ts')];
    expect(loaded).toContain('remote/wire/messages.ts');
    const others = loaded.filter((path) => dirname(path) !== 'microservices');
    const host = loadedBy('host/index.ts');
    expect(others.filter((path) => !host.has(path))).toEqual([]);
  });
});

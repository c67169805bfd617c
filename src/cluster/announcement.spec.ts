import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { clusterTextOf } from './announcement.js';

const members = [3000, 3001, 3002].map((port, index) => ({
  name: `member-${index + 1}`,
  url: `http://127.0.0.1:${port}`,
}));

describe('the announcement of a cluster', () => {
  it('has the address of each member, and where the data is', () => {
    const text = clusterTextOf(members, { address: '127.0.0.1:5432', folder: 'data/cluster' });

    for (const { name, url } of members) expect(text).toMatch(new RegExp(`${name} +${url}/orders`));
    expect(text).toContain('127.0.0.1:5432, its data and the password of postgres are in data/cluster');
    expect(clusterTextOf(members, undefined)).not.toContain('password');
  });

  it('has commands that send one order, with one key, to two members', () => {
    const text = clusterTextOf(members, undefined).replaceAll('\\\n', '');
    const orders = text.split('\n').filter((line) => line.includes('curl -i'));

    expect(orders).toHaveLength(2);
    expect(orders[0]).toContain('http://127.0.0.1:3000/orders');
    expect(orders[1]).toBe(orders[0]!.replace('3000', '3001'));
    expect(orders[0]).toMatch(/-H 'idempotency-key: [\w-]+'.* -d '\{.*\}'$/);
  });

  it('is what the page on the application shows', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/application.md'), 'utf8');

    expect(page).toContain(clusterTextOf(members, undefined).trim());
  });
});

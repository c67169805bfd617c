import { describe, expect, it } from 'vitest';
import { memberCallSchema } from './member-call.js';

const call = (request: object) => ({ coordinator: 'shop', logId: 'log', to: 7, request });

describe('A call of another member', () => {
  it('may have fields of a later version', () => {
    const find = { kind: 'find', transactionId: 'id', ofALaterVersion: 1 };
    expect(memberCallSchema.parse({ ...call(find), ofALaterVersion: 1 })).toEqual(
      call({ kind: 'find', transactionId: 'id' }),
    );
  });

  it('is refused with a filter that is not known: what does not match it would be listed', () => {
    const list = (filter: object): boolean =>
      memberCallSchema.safeParse(call({ kind: 'list', filter: { order: 'oldest', limit: 1, ...filter } }))
        .success;
    expect(list({ search: 'shop.1', groups: true, group: 'shop.1.9' })).toBe(true);
    expect(list({ ofALaterVersion: 1 })).toBe(false);
  });
});

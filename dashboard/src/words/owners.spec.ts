import { describe, expect, it } from 'vitest';
import { adoptedBy, nameOfOwner } from './owners.js';

describe('The members of a log, in words', () => {
  it('are called by their name, or by their epoch', () => {
    expect(nameOfOwner({ epoch: 7, member: 'shop-2' })).toBe('shop-2, epoch 7');
    expect(nameOfOwner({ epoch: 7, member: '' })).toBe('epoch 7');
  });

  it('say which epochs they have adopted', () => {
    const members = [
      { epoch: 4, adoptedBy: 7 },
      { epoch: 5, adoptedBy: 6 },
      { epoch: 6, adoptedBy: 7 },
      { epoch: 7, adoptedBy: null },
    ];
    expect(adoptedBy(members, 7)).toBe('epoch 4, 6');
    expect(adoptedBy(members, 6)).toBe('epoch 5');
    expect(adoptedBy(members, 5)).toBe('–');
  });
});

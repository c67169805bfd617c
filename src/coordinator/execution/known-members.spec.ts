import { describe, expect, it } from 'vitest';
import type { MemberEpoch } from '../log/shared-log.js';
import { KnownMembers } from './known-members.js';

function epoch(number: number, isFenced = false): MemberEpoch {
  return {
    epoch: number,
    token: '',
    formats: { first: 1, last: 1 },
    member: '',
    address: null,
    draining: false,
    ageMs: 0,
    isLockHeld: !isFenced,
    isFenced,
    adoptedBy: null,
    isPresumable: true,
  };
}

describe('KnownMembers', () => {
  it('divides the slots of a server among the living, and leaves out what epochs that are gone hold there', () => {
    const members = new KnownMembers();
    expect(members.divisionOf(() => undefined)).toEqual({ sharers: 1, held: 0 });
    members.see({ epochs: [epoch(1), epoch(2), epoch(3, true), epoch(4, true)] }, 10);
    expect(members.divisionOf((number) => number)).toEqual({ sharers: 2, held: 7 });
    expect(members.divisionOf((number) => (number === 3 ? undefined : 2))).toEqual({ sharers: 3, held: 2 });
  });

  it('counts no more epochs whose branches are not known than there are living members', () => {
    const members = new KnownMembers();
    members.see({ epochs: [epoch(1), ...[2, 3, 4, 5].map((number) => epoch(number, true))] }, 0);
    expect(members.divisionOf(() => undefined)).toEqual({ sharers: 2, held: 0 });
  });

  it('asks for what an epoch holds since it was first seen to be fenced', () => {
    const members = new KnownMembers();
    const asked: unknown[] = [];
    const ask = (): void => void members.divisionOf((...question) => void asked.push(question));
    members.see({ epochs: [epoch(1), epoch(2)] }, 5);
    ask();
    for (const now of [10, 20]) {
      members.see({ epochs: [epoch(1), epoch(2, true)] }, now);
      ask();
    }
    expect(asked).toEqual([
      [2, 10],
      [2, 10],
    ]);
  });
});

import { describe, expect, it } from 'vitest';
import type { OwnedSummary } from '../api/views.js';
import { groupsWords } from './groups.js';

describe('Groups, in words', () => {
  it('are counted with their members and further runs, as far as they are known', () => {
    const group = (size: number, runs: number) => ({ group: { id: 'g', size, runs } }) as OwnedSummary;
    expect(groupsWords([])).toBe('0 groups with 0 members; their work has run again 0 times.');
    expect(groupsWords([group(3, 1), group(12, 2), {} as OwnedSummary])).toBe(
      '3 groups with 15 members; their work has run again once.',
    );
  });
});

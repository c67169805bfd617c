import { describe, expect, it } from 'vitest';
import type { BranchView, TimelineEntry, TransactionView } from '../../../api/views.js';
import { pictureOf } from './picture.js';

const START = '2026-01-01T00:00:00.000Z';
const START_MS = Date.parse(START);

function draw(
  timeline: TimelineEntry[],
  fields: Partial<TransactionView> = {},
  branch: Partial<BranchView> = {},
) {
  const branches = [{ branchId: 'b1', participant: 'payment', nextAttemptAt: null, ...branch }];
  const transaction = { startedAt: START, endedAt: null, branches, timeline, ...fields };
  return pictureOf(transaction as unknown as TransactionView, START_MS + 1_000);
}

const YES: TimelineEntry[] = [
  { atMs: 0, event: 'begun' },
  { atMs: 1, event: 'preparing' },
  { atMs: 5, event: 'voted', branchId: 'b1', detail: 'commit' },
];
const DECIDED: TimelineEntry = { atMs: 8, event: 'decided', detail: 'commit' };

describe('the picture of a transaction', () => {
  it('shows a branch that prepares, is prepared and waits for the decision until it has it', () => {
    const committed: TimelineEntry = { atMs: 12, event: 'committed', branchId: 'b1', attempt: 1 };
    const picture = draw([...YES, DECIDED, committed], { endedAt: new Date(START_MS + 12).toISOString() });
    expect(picture.lanes[0]!.spans).toEqual([
      { kind: 'preparing', fromMs: 1, toMs: 5 },
      { kind: 'prepared', fromMs: 5, toMs: 8 },
      { kind: 'owed', fromMs: 8, toMs: 12 },
    ]);
    expect(picture.lanes[0]!.markers.map(({ kind }) => kind)).toEqual(['yes', 'done']);
    expect(picture.decision).toEqual({ atMs: 8, what: 'commit decided' });
    expect(picture.nowMs).toBeNull();
  });

  it('extends to this moment while a branch is prepared and nothing is decided', () => {
    const picture = draw(YES);
    expect(picture.lanes[0]!.spans.at(-1)).toEqual({ kind: 'prepared', fromMs: 5, toMs: 1_000 });
    expect(picture.decision).toBeNull();
    expect(picture.nowMs).toBe(1_000);
  });

  it('shows each failed attempt with its error, and the next attempt', () => {
    const failed: TimelineEntry = {
      atMs: 20,
      event: 'attempt-failed',
      branchId: 'b1',
      attempt: 1,
      detail: 'down',
    };
    const next = new Date(START_MS + 4_000).toISOString();
    const picture = draw([...YES, DECIDED, failed], {}, { nextAttemptAt: next });
    expect(picture.lanes[0]!.markers.slice(1)).toEqual([
      { atMs: 20, kind: 'failed', label: '20 ms: attempt 1 failed (down)', attempt: 1 },
      { atMs: 4_000, kind: 'next', label: '4.0 s: next attempt' },
    ]);
    expect(picture.moments).toEqual([0, 1, 5, 8, 20, 1_000, 4_000]);
  });

  it('ends the lane of a branch without completion with its vote', () => {
    const readOnly: TimelineEntry = { atMs: 5, event: 'voted', branchId: 'b1', detail: 'read-only' };
    const refused: TimelineEntry = { atMs: 5, event: 'refused', branchId: 'b1', detail: 'no stock' };
    for (const vote of [readOnly, refused]) {
      const { spans } = draw([...YES.slice(0, 2), vote, DECIDED]).lanes[0]!;
      expect(spans).toEqual([{ kind: 'preparing', fromMs: 1, toMs: 5 }]);
    }
  });

  it('has an empty lane for a branch that was aborted before prepare', () => {
    const { spans, markers } = draw([YES[0]!, { atMs: 3, event: 'decided', detail: 'abort' }]).lanes[0]!;
    expect(spans).toEqual([]);
    expect(markers).toEqual([]);
  });
});

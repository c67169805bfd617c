import { describe, expect, it } from 'vitest';
import { Cause, State, Told, TransactionIds } from '../protocol/index.js';
import { ManualClock, createTestCoordinator } from '../testing/index.js';
import { TransactionRecord } from './records.js';
import { TransactionRegistry } from './registry.js';
import { LOG_ID, idOf } from '../../../test/support/identity.js';

/** With so few transactions in flight and kept, the ring has its least size, 64 places. */
const RING = 64;

function setUp({ retainFinished = 4, retainFinishedMs = 1_000 } = {}) {
  const ids = new TransactionIds('test', LOG_ID, 1);
  const limits = { maxInFlight: 8, retainFinished, retainFinishedMs, retainRemarkableMs: 3_600_000 };
  const registry = new TransactionRegistry(ids, limits);
  const clock = new ManualClock();
  const { executor } = createTestCoordinator({ clock }).runtime;
  const add = (): TransactionRecord => {
    const sequence = registry.nextSequence();
    const record = new TransactionRecord(executor, sequence, ids.make(sequence), 'test', clock.now(), 5_000);
    registry.add(record);
    return record;
  };
  const end = (record: TransactionRecord, endedAt = 1_000): void => {
    const first = record.endedAt === 0;
    if (first) record.endedAt = endedAt;
    registry.release(record, first);
  };
  const kept = (): TransactionRecord[] => {
    const records: TransactionRecord[] = [];
    registry.forEach((record) => records.push(record));
    return records;
  };
  const isFound = (record: TransactionRecord): boolean => registry.find(record.id) === record;
  return { ids, registry, add, end, kept, isFound };
}

describe('TransactionRegistry', () => {
  it('finds running and ended transactions by id', () => {
    const { registry, add, end, ids, isFound } = setUp();
    const one = add();
    const other = add();
    end(one);

    expect([one, other].map(isFound)).toEqual([true, true]);
    expect(registry.find(ids.make(3))).toBeUndefined();
    expect(registry.find(ids.make(1 + RING))).toBeUndefined();
    expect(registry.find('nonsense')).toBeUndefined();
    expect(registry.inFlight).toBe(1);
  });

  it('drops the oldest finished transactions when there are too many', () => {
    const { add, end, kept, isFound } = setUp();
    const records = Array.from({ length: 10 }, add);
    for (const record of records) end(record);

    expect(records.map(isFound)).toEqual([...Array<boolean>(6).fill(false), ...Array<boolean>(4).fill(true)]);
    expect(kept()).toHaveLength(4);
  });

  it('drops finished transactions when their time is up, and never a running one', () => {
    const { registry, add, end, isFound } = setUp();
    const active = add();
    const first = add();
    const second = add();
    end(first, 1_000);
    end(second, 1_500);

    registry.expire(1_999);
    expect([first, second].map(isFound)).toEqual([true, true]);
    registry.expire(2_000);
    expect([first, second].map(isFound)).toEqual([false, true]);
    registry.expire(1_000_000);
    expect([active, first, second].map(isFound)).toEqual([true, false, false]);
  });

  it('keeps those that are worth a look apart, so that the many others push none of them out', () => {
    const { registry, add, end, isFound } = setUp();
    const worth: readonly ((record: TransactionRecord) => void)[] = [
      (record) => Object.assign(record, { state: State.ABORTED, cause: Cause.TIMED_OUT }),
      (record) => void (record.told = Told.PENDING),
      (record) => void (record.needExtras().isTouched = true),
    ];
    const looked = worth.map((mark) => {
      const record = add();
      mark(record);
      end(record);
      return record;
    });
    const slow = add();
    end(slow, slow.startedAt + 2_001);
    const refused = add();
    Object.assign(refused, { state: State.ABORTED, cause: Cause.REFUSED });
    end(refused);
    for (let others = 0; others < 3 * RING; others++) end(add());

    expect([...looked, slow].map(isFound)).toEqual([true, true, true, true]);
    expect(isFound(refused)).toBe(false);
    registry.expire(3_600_999);
    expect(isFound(looked[0]!)).toBe(true);
    registry.expire(3_601_000);
    expect([...looked, slow].map(isFound)).toEqual([false, false, false, true]);
  });

  it('keeps those of an earlier run no longer than any other: another member may know more of them', () => {
    const { ids, registry, add, end, isFound } = setUp();
    const marked = (): TransactionRecord => Object.assign(add(), { told: Told.PENDING });
    const [former, late] = [marked(), marked()];
    end(former);
    ids.startAgain(2);
    end(late);
    const own = marked();
    end(own);

    registry.expire(1_999);
    expect([former, late, own].map(isFound)).toEqual([true, true, true]);
    registry.expire(2_000);
    expect([former, late, own].map(isFound)).toEqual([false, false, true]);
  });

  it('keeps as many of them as of the others', () => {
    const { add, end, isFound } = setUp();
    const records = Array.from({ length: 6 }, add);
    for (const record of records) {
      record.told = Told.PENDING;
      end(record);
    }
    expect(records.map(isFound)).toEqual([false, false, true, true, true, true]);
  });

  it('keeps no finished transaction when the limit is 0', () => {
    const { add, end, kept } = setUp({ retainFinished: 0 });
    for (let number = 0; number < 1_000; number++) end(add());

    expect(kept()).toEqual([]);
  });

  it('still finds a transaction that outlives whole turns of the ring', () => {
    const { registry, add, end, kept, isFound } = setUp();
    const elder = add();
    for (let number = 0; number < 3 * RING; number++) end(add());

    expect(isFound(elder)).toBe(true);
    expect(registry.inFlight).toBe(1);
    expect(kept()).toHaveLength(5);
    end(elder);
    expect(isFound(elder)).toBe(true);
    for (let number = 0; number < 4; number++) end(add());
    expect(isFound(elder)).toBe(false);
    expect(kept()).toHaveLength(4);
  });

  it('gives the place of a stalled transaction to another, and frees no second place at its end', () => {
    const { registry, add, end, kept } = setUp();
    const stalled = add();
    const other = add();
    registry.setAside(stalled);
    registry.setAside(stalled);
    expect(registry.inFlight).toBe(1);
    expect([...registry.unsettled]).toEqual([stalled]);

    end(stalled);
    expect(registry.inFlight).toBe(1);
    expect(registry.unsettled.size).toBe(0);
    end(other);
    expect(registry.inFlight).toBe(0);
    expect(kept()).toHaveLength(2);
  });

  it('keeps a heuristic report beyond the limits of number and age, until it is forgotten', () => {
    const { registry, add, end, isFound } = setUp();
    const reported = add();
    reported.hazard = 1;
    end(reported);
    for (let number = 0; number < 5 * RING; number++) end(add());
    registry.expire(1_000_000);

    expect(isFound(reported)).toBe(true);
    expect(registry.inFlight).toBe(0);
    expect(registry.unsettled.has(reported)).toBe(true);

    reported.hazard = 0;
    registry.release(reported, false);
    expect(registry.unsettled.size).toBe(0);
    registry.expire(1_000_000);
    expect(isFound(reported)).toBe(false);
  });

  it('takes back a transaction that a late answer opens again, kept or dropped, and drops it afterwards', () => {
    const { registry, add, end, kept, isFound } = setUp();
    const stillKept = add();
    end(stillKept);
    const dropped = add();
    end(dropped);
    for (let number = 0; number < RING; number++) end(add());
    const younger = add();
    end(younger);
    expect(isFound(dropped)).toBe(false);

    for (const reopened of [younger, dropped]) {
      registry.setAside(reopened);
      expect(isFound(reopened)).toBe(true);
      expect(registry.inFlight).toBe(0);
      for (let number = 0; number < 2 * RING; number++) end(add());
      expect(isFound(reopened)).toBe(true);

      end(reopened);
      expect(registry.unsettled.size).toBe(0);
      for (let number = 0; number < 8; number++) end(add());
      expect(isFound(reopened)).toBe(false);
    }
    expect(kept()).toHaveLength(4);
  });

  it('keeps a reopened transaction in one place, and as long as any other', () => {
    const { registry, add, end, kept, isFound } = setUp({ retainFinished: 2 });
    const reopened = add();
    end(reopened);
    registry.setAside(reopened);
    end(reopened);
    const younger = add();
    end(younger);
    expect([reopened, younger].map(isFound)).toEqual([true, true]);

    end(add());
    expect([reopened, younger].map(isFound)).toEqual([false, true]);
    expect(kept()).toHaveLength(2);
  });

  it('remembers which transactions of an earlier run of the process have committed since', () => {
    const { ids, registry, add, end } = setUp({ retainFinished: 0 });
    const [committed, aborted, later] = [add(), add(), add()];
    end(later);
    const { prefix } = ids;
    ids.startAgain(2);
    const current = add();
    for (const record of [committed, current]) record.state = State.COMMITTED;
    aborted.state = State.ABORTED;
    for (const record of [committed, aborted, current]) end(record);

    expect(registry.find(committed.id)).toBeUndefined();
    const known = [committed, aborted, later, current].filter(({ id }) => registry.isRestoredDecision(id));
    expect(known).toEqual([committed]);
    registry.forgetDecisions(prefix);
    expect(registry.isRestoredDecision(committed.id)).toBe(false);
  });

  it('reports when nothing is in flight any more, without waiting for stalled transactions', async () => {
    const { registry, add, end } = setUp();
    await registry.whenIdle();
    const one = add();
    const stuck = add();
    let isIdle = false;
    const idle = registry.whenIdle().then(() => (isIdle = true));

    end(one);
    await Promise.resolve();
    expect(isIdle).toBe(false);
    registry.setAside(stuck);
    await idle;
    expect(isIdle).toBe(true);
  });

  it('reports it each time, to those that have asked since', async () => {
    const { registry, add, end } = setUp();
    for (let round = 0; round < 2; round++) {
      const one = add();
      const idle = registry.whenIdle();
      expect(() => end(one)).not.toThrow();
      await idle;
    }
    expect(registry.inFlight).toBe(0);
  });

  it.each([0, 1])('drops a restored transaction like any other, with a limit of %i', (retainFinished) => {
    const { registry, add, end, ids, isFound } = setUp({ retainFinished });
    const earlier = idOf('test', 7, 1);
    const restored = new TransactionRecord(
      add().executor,
      registry.nextSequence(),
      earlier,
      'test',
      1,
      5_000,
    );
    restored.state = State.COMMITTING;
    registry.adopt(restored);
    expect(isFound(restored)).toBe(true);
    expect(registry.isRestoredDecision(earlier)).toBe(true);
    // No transaction of this run ever began under the number of its place.
    expect(registry.find(ids.make(restored.sequence))).toBeUndefined();

    end(restored);
    for (let number = 0; number < retainFinished; number++) end(add());
    expect(registry.find(earlier)).toBeUndefined();
    // A list that was made before its end may still arrive.
    expect(registry.isRestoredDecision(earlier)).toBe(true);
    expect(registry.find(ids.make(1))).toBeDefined();
  });
});

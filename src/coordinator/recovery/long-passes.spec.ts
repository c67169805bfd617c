import { describe, expect, it } from 'vitest';
import { RestartableLog } from '../../../test/faults/restartable-log.js';
import { createTestCoordinator, settled } from '../testing/index.js';
import { Recovery } from './recovery.js';
import { LOOKED_AT_IN_A_SLICE, TRIED_IN_A_SLICE } from './slices.js';

const BRANCHES = 3_000;

/** A log with many decisions, and participants that fail at once. */
function crowd() {
  const log = new RestartableLog();
  for (let number = 0; number < BRANCHES; number++) {
    const id = `shop.earlier.${number}`;
    const branches = [{ branchId: 'stock', participant: 'stock', payload: number, completed: false }];
    log.decisions.set(id, { id, name: 'order', decider: { kind: 'log' }, branches });
  }
  const state = { tries: 0, turns: 0, mostInATurn: 0, isOver: false };
  const stock = {
    prepare: () => 'commit' as const,
    commit: () => {
      state.tries++;
      throw new Error('down');
    },
    rollback: () => {},
  };
  const make = () => createTestCoordinator({ name: 'shop', log, participants: { stock } });
  /** Counts the attempts from one turn of the event loop to the next. */
  const watch = (): void => {
    let before = state.tries;
    const turn = (): void => {
      state.turns++;
      state.mostInATurn = Math.max(state.mostInATurn, state.tries - before);
      before = state.tries;
      if (!state.isOver) setImmediate(turn);
    };
    setImmediate(turn);
  };
  return { log, state, make, watch };
}

describe('a pass over many branches whose participant fails at once', () => {
  it('lets the event loop turn after a few of them, and tries all in order', async () => {
    const { state, make, watch } = crowd();
    const { recover } = make();
    watch();
    await recover();
    state.isOver = true;
    await settled();

    expect(state.tries).toBe(BRANCHES);
    expect(state.mostInATurn).toBeLessThanOrEqual(TRIED_IN_A_SLICE);
    expect(state.turns).toBeGreaterThan(BRANCHES / TRIED_IN_A_SLICE / 2);
  });

  it('stops after the running slice', async () => {
    const { state, make } = crowd();
    const { runtime } = make();
    const recovery = new Recovery(runtime);
    recovery.restore();
    const pass = recovery.pass();
    while (state.tries === 0) await settled();
    const before = state.tries;
    await recovery.stop();
    await pass;
    expect(state.tries).toBeLessThanOrEqual(before + TRIED_IN_A_SLICE);
    expect(state.tries).toBeLessThan(BRANCHES);
  });

  it('restores the decisions of earlier runs in slices', async () => {
    const { log, state, make, watch } = crowd();
    const decisions = [...log.decisions.values()];
    log.decisions.clear();
    const { runtime } = make();
    Object.assign(runtime, { unfinished: { decisions, reports: [] } });
    watch();
    const { decisions: taken } = await new Recovery(runtime).restoreInSlices();
    state.isOver = true;

    expect(taken).toBe(BRANCHES);
    expect(state.turns).toBeGreaterThanOrEqual(BRANCHES / LOOKED_AT_IN_A_SLICE - 1);
    expect(runtime.registry.unsettled.size).toBe(BRANCHES);
  });

  it('counts every transaction as not settled until all records of earlier runs are restored', () => {
    const { make } = crowd();
    const { runtime } = make();
    const { isUnsettled } = runtime.log.run;
    expect([isUnsettled!('shop.earlier.7'), isUnsettled!('shop.unknown.1')]).toEqual([true, false]);
    runtime.isRestored = false;
    expect(isUnsettled!('shop.unknown.1')).toBe(true);
    // This field is not part of what is recorded or compared of a run.
    expect(Object.keys(runtime.log.run)).not.toContain('isUnsettled');
  });

  it('examines a long list of prepared branches in slices', async () => {
    const { state, watch } = crowd();
    const prepared = Array.from({ length: 10 * LOOKED_AT_IN_A_SLICE }, (_, number) => ({
      transactionId: `other.${number}`,
      branchId: 'stock',
    }));
    const stock = { prepare: () => 'commit' as const, commit() {}, rollback() {}, recover: () => prepared };
    const { recover } = createTestCoordinator({ name: 'shop', participants: { stock } });
    watch();
    await recover();
    state.isOver = true;
    expect(state.turns).toBeGreaterThanOrEqual(9);
  });
});

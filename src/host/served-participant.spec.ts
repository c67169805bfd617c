import { describe, expect, it } from 'vitest';
import { LOG_ID, idOf, runOf } from '../../test/support/identity.js';
import { MemoryReplicaGuardStore } from '../coordinator/guard/index.js';
import type { Branch, TransactionParticipant } from '../coordinator/participant/participant.js';
import { serve } from './served-participant.js';

function branchOf(attempt: number): Branch {
  return {
    transactionId: idOf('shop', 1, 7),
    branchId: 'stock',
    payload: 1,
    deadline: Date.now() + 10_000,
    signal: new AbortController().signal,
    attempt,
    run: runOf(),
  };
}

describe('A participant that guards itself, at a host', () => {
  it('gets no late call of a transaction that is over, and no refusal is made of what may have committed', async () => {
    let calls = 0;
    const instance: TransactionParticipant = {
      guardsItself: true,
      prepare: () => {
        calls++;
        return 'commit';
      },
      commitOnePhase: () => {
        calls++;
        return 'commit';
      },
      commit: () => {},
      rollback: () => {},
      recover: () => [],
    };
    const store = new MemoryReplicaGuardStore();
    const served = serve('stock', instance, store, {});
    expect(await served.commitOnePhase(branchOf(2))).toBe('commit');
    await store.raise(LOG_ID, [{ epoch: 1, sequence: 7 }]);
    expect(await served.prepare(branchOf(1))).toMatchObject({ code: 'TRANSACTION_OVER' });
    expect(await served.commitOnePhase(branchOf(1))).toMatchObject({ code: 'TRANSACTION_OVER' });
    await expect(served.commitOnePhase(branchOf(2))).rejects.toMatchObject({ code: 'DTC_TRANSACTION_OVER' });
    expect(calls).toBe(1);
  });
});

describe('A participant that the host guards', () => {
  it('gets no late call of a transaction that is over, and no refusal is made of what may have committed', async () => {
    let calls = 0;
    const work = (): 'commit' => {
      calls++;
      return 'commit';
    };
    const instance: TransactionParticipant = {
      prepare: work,
      commitOnePhase: work,
      commit() {},
      rollback() {},
    };
    const store = new MemoryReplicaGuardStore();
    const served = serve('stock', instance, store, {});
    expect(await served.commitOnePhase(branchOf(1))).toBe('commit');
    const done = calls;
    await store.raise(LOG_ID, [{ epoch: 1, sequence: 7 }]);
    await store.purge();
    await store.purge();
    expect(await served.prepare(branchOf(1))).toMatchObject({ code: 'TRANSACTION_OVER' });
    expect(await served.commitOnePhase(branchOf(1))).toMatchObject({ code: 'TRANSACTION_OVER' });
    await expect(served.commitOnePhase(branchOf(2))).rejects.toMatchObject({ code: 'DTC_TRANSACTION_OVER' });
    // Its whole epoch is over, and with it the token of its run.
    await store.raise(LOG_ID, [{ epoch: 0, sequence: 1 }]);
    await store.purge();
    await store.purge();
    const other = serve('stock', instance, store, {});
    await expect(other.commitOnePhase(branchOf(2))).rejects.toMatchObject({ code: 'DTC_GUARD_RUN_CONFLICT' });
    expect(calls).toBe(done);
  });
});

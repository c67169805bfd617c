import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Branch, CoordinatorRun, TransactionParticipant } from '../coordinator/index.js';
import { FaultyParticipant } from './faulty-participant.js';

const RUN: CoordinatorRun = { name: 'shop', logId: 'log', epoch: 2, token: 'token', durable: true };

class Complete implements TransactionParticipant {
  readonly calls: unknown[] = [];
  readonly preparesDurably = true;
  prepare = () => 'commit' as const;
  commit(): void {}
  rollback(): void {}
  commitOnePhase = () => 'commit' as const;
  checkPayload(payload: unknown): void {
    this.calls.push(['checkPayload', payload]);
  }
  claim(run: CoordinatorRun): void {
    this.calls.push(['claim', run]);
  }
  recover(run?: CoordinatorRun): [] {
    this.calls.push(['recover', run]);
    return [];
  }
  endSessionsOf(run: CoordinatorRun): void {
    this.calls.push(['endSessionsOf', run]);
  }
  capacity = () => Promise.reject(new Error('not asked'));
  inspect(): Promise<never> {
    return Promise.reject(new Error('not asked'));
  }
  branchStarted(): void {}
  branchEnded(): void {}
}

describe('A participant that can be made to fail', () => {
  afterEach(() => vi.useRealTimers());

  it('has each optional method of the one within, and hands on what it is given', async () => {
    const inner = new Complete();
    const faulty: TransactionParticipant = new FaultyParticipant(inner);
    for (const name of Object.getOwnPropertyNames(Complete.prototype)) {
      if (name !== 'constructor') expect(faulty).toHaveProperty(name);
    }
    await faulty.claim?.(RUN, () => Promise.resolve(true));
    await faulty.recover?.(RUN);
    await faulty.endSessionsOf?.(RUN);
    expect(inner.calls).toEqual([
      ['claim', RUN],
      ['recover', RUN],
      ['endSessionsOf', RUN],
    ]);
    expect(faulty.preparesDurably).toBe(true);
  });

  it('has none that the one within does not have', () => {
    const faulty = new FaultyParticipant({ prepare: () => 'commit', commit: () => {}, rollback: () => {} });
    for (const name of ['claim', 'recover', 'endSessionsOf', 'capacity', 'inspect', 'commitOnePhase']) {
      expect(Reflect.get(faulty, name)).toBeUndefined();
    }
  });

  it('works again when the time of its fault is over, also if calls of it are left', () => {
    vi.useFakeTimers();
    const faulty = new FaultyParticipant(new Complete());
    const given = { transactionId: 't', branchId: 'b', participant: 'p' } as unknown as Branch;
    faulty.switchOn({ method: 'prepare', fault: 'refuse', times: 5, forMs: 1_000, delayMs: 1 });
    faulty.switchOn({ method: 'commit', fault: 'throw', delayMs: 1 });
    vi.advanceTimersByTime(999);
    expect(faulty.faults).toHaveLength(2);

    vi.advanceTimersByTime(1);

    expect(faulty.faults).toEqual([{ method: 'commit', fault: 'throw', delayMs: 1 }]);
    expect(faulty.prepare(given)).toBe('commit');
  });
});

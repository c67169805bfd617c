import { describe, expect, it, vi } from 'vitest';
import {
  type Branch,
  HeuristicError,
  type HeuristicKind,
  type PreparedBranch,
  type TransactionParticipant,
  type Vote,
  branch,
  branchKey,
  refuse,
} from '../../src/coordinator/index.js';
import {
  type Behaviour,
  ScriptedParticipant,
  createTestCoordinator,
  settled,
} from '../../src/coordinator/testing/index.js';
import { RestartableLog } from './restartable-log.js';

const SAFETY_MS = 100;
const PAYLOAD = { sku: 'lamp', quantity: 3 };

/**
 * A database that outlives the coordinator. While it is broken it reports ends that are not true, or nothing.
 */
class Warehouse implements TransactionParticipant {
  readonly prepared = new Map<string, PreparedBranch>();
  readonly told: string[] = [];
  readonly payloads: unknown[] = [];
  broken: HeuristicKind | 'throws' | undefined = undefined;

  prepare(one: Branch): Vote {
    const { transactionId, branchId } = one;
    this.prepared.set(branchKey(one), { transactionId, branchId });
    return 'commit';
  }

  commit(one: Branch): void {
    this.end(one, 'commit');
  }

  rollback(one: Branch): void {
    this.end(one, 'rollback');
  }

  recover(): PreparedBranch[] {
    return [...this.prepared.values()];
  }

  private end(one: Branch, decision: string): void {
    if (this.broken === 'throws') throw new Error('busy');
    if (this.broken !== undefined) throw new HeuristicError(this.broken, 'it is not there');
    if (!this.prepared.delete(branchKey(one))) throw new HeuristicError('hazard', 'it is not there');
    this.told.push(decision);
    this.payloads.push(one.payload);
  }
}

/** Coordinators, one after another, over one log and one warehouse. */
class Shop {
  readonly log = new RestartableLog();
  readonly warehouse = new Warehouse();
  coordinator = this.make();
  id = '';

  restart(): void {
    this.coordinator = this.make();
  }

  /** Decides while the warehouse is broken. */
  async decide(decision: 'commit' | 'abort', broken: HeuristicKind | 'throws'): Promise<void> {
    this.warehouse.broken = broken;
    const other = decision === 'commit' ? 'other' : 'refusing';
    const told = this.coordinator.transactions.run({
      branches: [branch('warehouse', PAYLOAD), branch(other, {})],
    });
    await settled();
    await this.coordinator.clock.advance(100);
    this.id = (await told).transactionId;
  }

  /** An operator says how the branch has ended. */
  resolve(as: HeuristicKind): void {
    const record = this.coordinator.runtime.registry.find(this.id)!;
    expect(this.coordinator.runtime.executor.completion.resolve(record.branches[0]!, as, 'by hand')).toBe(
      true,
    );
  }

  /** All faults end, and the coordinator finishes everything that is due. */
  async recovers(): Promise<void> {
    this.warehouse.broken = undefined;
    for (let pass = 0; pass < 6; pass++) {
      await this.coordinator.recover();
      await this.coordinator.clock.advance(SAFETY_MS);
      await settled();
    }
  }

  private make() {
    const { log, warehouse } = this;
    return createTestCoordinator({
      name: 'shop',
      log,
      orphanSafetyMs: SAFETY_MS,
      maxAttempts: 2,
      retryBaseMs: 1,
      retryCapMs: 1,
      completionWaitMs: 50,
      participants: {
        warehouse,
        other: { prepare: () => 'commit', commit() {}, rollback() {} },
        refusing: { prepare: () => refuse('NO', 'no'), commit() {}, rollback() {} },
      },
    });
  }
}

const ENDS = ['reported hazard', 'reported rollback', 'reported mixed', 'reported commit'] as const;
const WORDS = ['resolved as commit', 'resolved as rollback', 'resolved as hazard'] as const;
const THEN = [
  'nothing',
  'forget',
  'restart',
  'restart, forget',
  'forget, restart',
  'restart, forget, restart',
] as const;
const FACTS = ['still prepared', 'gone'] as const;

const cases = (['commit', 'abort'] as const).flatMap((decision) =>
  [...ENDS, ...WORDS].flatMap((end) =>
    THEN.flatMap((then) => FACTS.map((fact) => [decision, end, then, fact] as const)),
  ),
);

describe('fault 39 §: a branch that is over by a report or by the word of an operator', () => {
  it.each(cases)(
    'decision %s, %s, %s, %s: never ends against the decision',
    async (decision, end, then, fact) => {
      const shop = new Shop();
      const [how, , as] = end.replace('reported ', 'reported as ').split(' ') as [
        string,
        string,
        HeuristicKind,
      ];
      await shop.decide(decision, how === 'reported' ? as : 'throws');
      if (how === 'resolved') shop.resolve(as);
      if (fact === 'gone') shop.warehouse.prepared.clear();
      const isReport = as !== (decision === 'commit' ? 'commit' : 'rollback');
      for (const step of then.split(', ')) {
        if (step === 'restart') shop.restart();
        // One that agrees with the decision is no report.
        if (step === 'forget' && isReport) expect(shop.coordinator.transactions.forget(shop.id)).toBe(true);
      }
      await shop.recovers();

      const wasForgotten = !isReport || then.includes('forget');
      const completed = decision === 'commit' ? 'commit' : 'rollback';
      expect(shop.warehouse.told).toEqual(fact === 'gone' ? [] : [completed]);
      expect(shop.warehouse.prepared.size).toBe(0);
      if (decision === 'commit' && fact === 'still prepared')
        expect(shop.warehouse.payloads).toEqual([PAYLOAD]);
      // The log keeps what is not dealt with, and nothing else.
      expect(shop.log.reports.size).toBe(wasForgotten ? 0 : 1);
      expect(shop.log.decisions.size).toBe(decision === 'commit' && !wasForgotten ? 1 : 0);
      const { participants, runtime } = shop.coordinator;
      expect(runtime.registry.unresolvedAt(participants.resolve('warehouse'))).toEqual({
        stalled: 0,
        reports: wasForgotten ? 0 : 1,
      });
    },
  );

  it.each(['still prepared', 'gone'] as const)(
    'a branch that decides by itself, reported a hazard, was forgotten and is %s is not rolled back after a restart',
    async (fact) => {
      const shop = new Shop();
      const { warehouse } = shop;
      Object.assign(warehouse, {
        commitOnePhase: (one: Branch): never => {
          warehouse.prepare(one);
          throw new HeuristicError('hazard', 'the answer of the database was lost');
        },
      });
      shop.restart();
      const outcome = await shop.coordinator.transactions.run({ branches: [branch('warehouse', PAYLOAD)] });
      expect(outcome).toMatchObject({ status: 'heuristic', heuristic: 'hazard' });
      if (fact === 'gone') warehouse.prepared.clear();
      shop.coordinator.transactions.forget(outcome.transactionId);
      shop.restart();
      await shop.recovers();

      expect(warehouse.told).toEqual(fact === 'gone' ? [] : ['commit']);
    },
  );

  it('receives nothing while it is only in a list that may be older than its end', async () => {
    const shop = new Shop();
    await shop.decide('commit', 'hazard');
    shop.warehouse.broken = undefined;
    shop.restart();
    await shop.coordinator.recover();
    await shop.coordinator.clock.advance(SAFETY_MS - 1);
    await shop.coordinator.recover();
    await shop.coordinator.recover();
    expect(shop.warehouse.told).toEqual([]);
    await shop.coordinator.clock.advance(1);
    await shop.coordinator.recover();
    await shop.coordinator.recover();
    expect(shop.warehouse.told).toEqual(['commit']);
  });

  it('keeps its decision while its participant is not registered, or cannot list', async () => {
    const shop = new Shop();
    await shop.decide('commit', 'hazard');
    shop.coordinator.transactions.forget(shop.id);
    shop.warehouse.broken = undefined;
    shop.warehouse.recover = () => {
      throw new Error('the list would not be complete');
    };
    await shop.recovers();
    shop.restart();
    await shop.recovers();
    expect(shop.log.decisions.size).toBe(1);
  });

  it('keeps its report until its record says that it has ended, as long as it may still be prepared', async () => {
    const shop = new Shop();
    const progress = vi.spyOn(shop.log, 'progress').mockImplementation(() => {
      throw new Error('the disk is full');
    });
    await shop.decide('commit', 'hazard');
    expect(shop.coordinator.transactions.forget(shop.id)).toBe(true);
    expect(shop.log.reports.size).toBe(1);
    progress.mockRestore();
    shop.coordinator.runtime.executor.records.writeAgain();
    expect(shop.log.reports.size).toBe(0);
    const [record] = shop.log.decisions.values();
    expect(record!.branches.map(({ completed }) => completed)).toEqual([true, true]);
  });

  it('one that reports again is reported once', async () => {
    const shop = new Shop();
    await shop.decide('commit', 'hazard');
    for (let pass = 0; pass < 6; pass++) {
      await shop.coordinator.recover();
      await shop.coordinator.clock.advance(SAFETY_MS);
    }
    const { participants, runtime } = shop.coordinator;
    expect(runtime.registry.unresolvedAt(participants.resolve('warehouse')).reports).toBe(1);
    expect(shop.log.decisions.size).toBe(1);
    const { timeline } = shop.coordinator.transactions.find(shop.id)!;
    expect(timeline.filter(({ event }) => event === 'reopened').length).toBeGreaterThan(0);
    await shop.recovers();
    expect(shop.warehouse.told).toEqual(['commit']);
  });
});

describe('fault 39 §: one of two reports that is forgotten', () => {
  /** A log that refuses to note progress or an end, and to forget, until it is told to. */
  class FailingLog extends RestartableLog {
    readonly fails = new Set<'progress' | 'forget' | 'end'>();
    ends = 0;

    override progress(...about: Parameters<RestartableLog['progress']>): void {
      if (this.fails.has('progress')) throw new Error('the disk is full');
      super.progress(...about);
    }

    override end(id: string): void {
      if (this.fails.has('end')) throw new Error('the disk is full');
      this.ends++;
      super.end(id);
    }

    override forget(...about: Parameters<RestartableLog['forget']>): void {
      if (this.fails.has('forget')) throw new Error('the disk is full');
      super.forget(...about);
    }
  }

  async function reported(...fails: readonly ('progress' | 'forget' | 'end')[]) {
    const log = new FailingLog();
    const hazard: Behaviour = { heuristic: 'hazard' };
    const start = (commit: Behaviour) => {
      const [one, other] = [new ScriptedParticipant({ commit }), new ScriptedParticipant({ commit })];
      return { ...createTestCoordinator({ name: 'shop', log, participants: { one, other } }), one, other };
    };
    const first = start(hazard);
    for (const fault of fails) log.fails.add(fault);
    const { transactionId } = await first.transactions.run({
      branches: [branch('one', 1), branch('other', 1)],
    });
    const branchIds = (): string[] => [...log.reports.values()].map(({ branchId }) => branchId);
    return { ...first, log, start, id: transactionId, branchIds };
  }

  it.each([[['progress']], [['forget']], [['progress', 'forget']]] as const)(
    'is not asked again after a restart, although the log has failed at %j',
    async (fails) => {
      const { transactions, recover, log, start, id, branchIds } = await reported(...fails);
      expect(transactions.forget(id, 'one')).toBe(true);
      // The report stands for the end of the branch, as long as the record does not tell it.
      expect(branchIds()).toEqual(['one', 'other']);
      log.fails.clear();
      await recover();
      await settled();
      expect(branchIds()).toEqual(['other']);

      const { one, other, transactions: later, recover: recoverLater } = start('yes');
      await recoverLater();
      await settled();
      expect([one.count('commit'), other.count('commit')]).toEqual([0, 0]);
      expect(later.find(id)).toMatchObject({ heuristic: 'hazard' });
    },
  );

  it('never brings back the record of a transaction of which nothing is left to do', async () => {
    const { transactions, recover, log, id, branchIds } = await reported('progress');
    expect(transactions.forget(id, 'one')).toBe(true);
    expect(transactions.forget(id)).toBe(true);
    log.fails.clear();
    await recover();
    await settled();
    expect([branchIds(), [...log.decisions.keys()], log.ends]).toEqual([[], [], 1]);
  });

  it('is the last one, and stays until the record has ended', async () => {
    const { transactions, recover, log, start, id, branchIds } = await reported('progress', 'end');
    expect(transactions.forget(id)).toBe(true);
    expect([branchIds(), [...log.decisions.keys()]]).toEqual([['one', 'other'], [id]]);

    // After a restart now, no participant is asked: the reports tell that the branches have ended.
    const { one, other, recover: recoverLater } = start('yes');
    await recoverLater();
    await settled();
    expect([one.count('commit'), other.count('commit')]).toEqual([0, 0]);

    log.fails.clear();
    await recover();
    await settled();
    expect([branchIds(), [...log.decisions.keys()], log.ends]).toEqual([[], [], 1]);
  });
});

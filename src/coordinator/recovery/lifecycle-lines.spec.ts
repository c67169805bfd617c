import { LogLine } from '../gate/log-line.js';
import { Logger } from '@nestjs/common';
import { SchedulerRegistry } from '@nestjs/schedule';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ScriptedLog } from '../../../test/faults/scripted-log.js';
import { type CoordinatorOptions, resolveCoordinatorOptions } from '../coordinator.options.js';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { TransactionObserver } from '../execution/observer.js';
import type { CommitRecord, DecisionLog, LogClaim } from '../log/decision-log.js';
import { branch } from '../participant/branch-request.js';
import { ParticipantRegistry } from '../participant/participant.registry.js';
import { ManualClock, ScriptedParticipant, type ParticipantScript, settled } from '../testing/index.js';
import { TransactionManager } from '../transaction-manager.js';
import { CoordinatorLifecycle } from './coordinator-lifecycle.js';
import { DECIDER, claimOf as claimOfLog } from '../../../test/support/identity.js';

const lines: string[] = [];

beforeEach(() => {
  lines.length = 0;
  for (const level of ['log', 'warn', 'error'] as const) {
    vi.spyOn(Logger.prototype, level).mockImplementation((line: unknown) => {
      lines.push(`${level}: ${line instanceof LogLine ? line.msg : String(line)}`);
    });
  }
});

afterEach(() => {
  vi.restoreAllMocks();
});

/**
 * A coordinator as the module makes it, so that the lifecycle restores its decisions, and nothing does
 * before.
 */
function setUp(script: ParticipantScript, claim: LogClaim, given: CoordinatorOptions = {}) {
  const options = resolveCoordinatorOptions({ shutdownGraceMs: 20, maxAttempts: 1, ...given });
  const participants = new ParticipantRegistry(options);
  participants.register(new ScriptedParticipant(script), { name: 'stock' });
  // The log lines of the registration of participants do not belong to the lifecycle.
  lines.length = 0;
  const clock = new ManualClock();
  const log = new ScriptedLog({ claim });
  const close = vi.spyOn(log as DecisionLog, 'close');
  const observer = new Proxy({} as TransactionObserver, { get: () => () => {} });
  const runtime = new CoordinatorRuntime({
    options,
    participants,
    clock,
    random: () => 0.5,
    log,
    claim,
    observer,
  });
  const scheduler = new SchedulerRegistry();
  const lifecycle = new CoordinatorLifecycle(scheduler, runtime);
  const start = async () => {
    lifecycle.onModuleInit();
    await lifecycle.onApplicationBootstrap();
    await lifecycle.recoverNow();
  };
  const stop = async () => {
    await lifecycle.drain();
    await lifecycle.onApplicationShutdown('SIGTERM');
    // Always the last one.
    const { inFlight, unsettled } = runtime.registry;
    const left = inFlight + unsettled.size;
    expect(lines.pop()).toBe(
      `log: Stopped after SIGTERM${left === 0 ? ': every transaction is settled' : `. Not settled: ${left}`}`,
    );
  };
  return {
    transactions: new TransactionManager(runtime),
    runtime,
    clock,
    scheduler,
    lifecycle,
    close,
    start,
    stop,
  };
}

const claimOf = (...decisions: CommitRecord[]): LogClaim => claimOfLog({ epoch: 2, decisions });
const decisionFor = (id: string, participant: string): CommitRecord => ({
  id,
  name: 'order',
  decider: DECIDER,
  branches: [{ branchId: participant, participant, payload: 1, completed: false }],
});
const request = { branches: [branch('stock', 1)] };

describe('The log lines of the start', () => {
  it('are absent when no earlier run left anything', async () => {
    const { start, stop, runtime } = setUp({}, claimOf());
    expect(runtime.isRecovering).toBe(false);
    await start();
    await stop();

    expect(lines).toEqual([]);
  });

  it('give the findings of the log for an operator', async () => {
    const { start, stop } = setUp({}, { ...claimOf(), warning: 'The last write was cut short.' });
    await start();
    await stop();

    expect(lines).toEqual(['warn: The last write was cut short.']);
  });

  it('give the number of decisions of earlier runs, and the missing participants', async () => {
    const { start, stop, runtime } = setUp(
      {},
      claimOf(decisionFor('coordinator.1.1', 'stock'), decisionFor('coordinator.1.2', 'gone')),
    );
    expect(runtime.isRecovering).toBe(true);
    await start();
    expect(lines).toEqual([
      'log: Delivering the decisions of earlier runs: 2',
      expect.stringMatching(/^warn: "gone" has branches to complete/),
    ]);
    expect(runtime.isRecovering).toBe(false);
    expect(runtime.registry.find('coordinator.1.1')).toMatchObject({ stateName: 'COMMITTED' });
    await stop();
  });
});

describe('The log lines of the end', () => {
  it('give the transactions that it waits for, and those in flight after the grace period', async () => {
    const { start, stop, transactions } = setUp({ commit: 'hang' }, claimOf());
    await start();
    const outcome = transactions.run(request);
    await settled();
    await stop();

    const { transactionId } = await outcome;
    expect(lines).toEqual([
      'log: Waiting up to 20 ms for the transactions in flight: 1',
      'error: The grace period is over, and transactions are still in flight: 1',
      expect.stringMatching(`^warn: ${transactionId} is COMMITTING .* the next start continues it$`),
    ]);
  });

  it('do not repeat stalled or ended transactions when another is in flight', async () => {
    const { start, stop, transactions } = setUp({ commit: ['yes', 'throw', 'hang'] }, claimOf());
    await start();
    const over = await transactions.run(request);
    const stalled = await transactions.run(request);
    void transactions.run(request);
    await settled();
    await stop();

    expect([over.status, stalled.status]).toEqual(['committed', 'pending']);
    expect(lines.filter((line) => line.includes(over.transactionId))).toEqual([]);
    expect(lines.filter((line) => line.includes(stalled.transactionId))).toEqual([
      expect.stringMatching(`^warn: ${stalled.transactionId} is COMMITTING .* the next start continues it$`),
    ]);
  });

  it('do not name a transaction that was aborted and rolled back at the end of the grace period', async () => {
    const { start, stop, transactions } = setUp({ prepare: { answer: 'read-only' } }, claimOf());
    await start();
    const transaction = transactions.begin();
    await stop();

    expect(transaction.state).toBe('ABORTED');
    expect(lines).toEqual([
      'log: Waiting up to 20 ms for the transactions in flight: 1',
      'error: The grace period is over, and transactions are still in flight: 1',
    ]);
  });

  it.each([
    [true, 'warn', 'the next start continues it'],
    [false, 'error', 'is lost with this process'],
  ])('state what happens to a stalled commit, with a durable log (%s)', async (durable, level, fate) => {
    const { start, stop, transactions } = setUp({ commit: 'throw' }, { ...claimOf(), durable });
    await start();
    const { transactionId } = await transactions.run(request);
    await stop();

    expect(lines).toEqual([expect.stringMatching(`^${level}: ${transactionId} is COMMITTING .* ${fate}$`)]);
  });

  it.each([
    [true, 2],
    [false, 5],
  ])(
    'name as many that go on as one kind may have, and each that is lost: durable %s',
    async (durable, named) => {
      const { start, stop, transactions } = setUp(
        { commit: 'throw' },
        { ...claimOf(), durable },
        { maxLinesOfKind: 2 },
      );
      await start();
      for (let turn = 0; turn < 5; turn++) await transactions.run(request);
      await stop();

      expect(lines.filter((line) => / is COMMITTING and not settled/.test(line))).toHaveLength(named);
      expect(lines.slice(named)).toEqual(
        durable ? ['warn: 3 more transactions are not settled: the next start continues them'] : [],
      );
    },
  );

  it('state that the next start finds a stalled abort again, by its prepared branches', async () => {
    const { start, stop, transactions } = setUp({ rollback: 'throw' }, claimOf());
    await start();
    const transaction = transactions.begin();
    transaction.enlist(request.branches[0]!);
    await transaction.rollback();
    await settled();
    await stop();

    expect(lines).toEqual([
      expect.stringMatching(`^warn: ${transaction.id} is ABORTING .* the next start continues it$`),
    ]);
  });
});

describe('The work of the coordinator in the background', () => {
  it('keeps the process alive once the application has started, and not before', async () => {
    const { lifecycle, scheduler, stop } = setUp({}, claimOf());
    const alive = () => scheduler.getIntervals().map((name) => scheduler.getInterval(name).hasRef());
    lifecycle.onModuleInit();
    expect(alive()).toEqual([false, false]);
    await lifecycle.onApplicationBootstrap();
    expect(alive()).toEqual([true, true]);
    await stop();
  });

  it('ends within the grace period although the log cannot be closed', async () => {
    const { start, stop, close } = setUp({}, claimOf());
    close.mockReturnValue(new Promise(() => {}));
    await start();
    await stop();

    expect(close).toHaveBeenCalledTimes(1);
  });

  it('ends with the shutdown: the log is closed, and no clock starts a sweep', async () => {
    const { start, stop, runtime, clock, close } = setUp({}, claimOf(), { sweepIntervalMs: 3_600_000 });
    const sweep = vi.spyOn(runtime, 'sweep');
    await start();
    await clock.advance(10);
    expect(sweep).toHaveBeenCalledTimes(1);
    expect(close).not.toHaveBeenCalled();
    await stop();
    await clock.advance(1_000);

    expect(sweep).toHaveBeenCalledTimes(1);
    expect(close).toHaveBeenCalledTimes(1);
  });
});

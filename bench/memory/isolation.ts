import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Outcome,
  ParticipantRegistry,
  ParticipantSilentError,
  type TransactionParticipant,
  type Vote,
  branch,
} from '../../src/coordinator/index.js';
import { closedLoop, letTimersRun } from '../framework/closed-loop.js';
import { UnexpectedOutcomeError } from '../framework/contender.js';
import type { CoordinatorApplication } from '../framework/coordinator-application.js';
import { startCoordinator } from './coordinator.js';
import { WORK } from './participants.js';
import type { Settings } from '../settings.js';
import { median, round } from '../framework/statistics.js';

/** What failing participants cost the transactions that do not name them. */
export interface Isolation {
  /**
   * How long a caller waits if one participant refuses after 10 ms and the others take 500 ms, in
   * milliseconds.
   */
  readonly refusalMs: number;
  /**
   * Transactions a second without the hung participant while 100 callers wait for it, divided by those
   * before.
   */
  readonly hungRatio: number;
  /** Transactions a second that named the hung participant and were aborted in that time. */
  readonly hungAbortedTps: number;
}

const REFUSES_AFTER_MS = 10;
const SLOW_MS = 500;
const HUNG_CALLERS = 100;
const HUNG_PREPARE_TIMEOUT_MS = 500;
const WELL_IN_FLIGHT = 100;
const WELL_BATCH = 5_000;

export async function measureIsolation(settings: Settings): Promise<Isolation> {
  const { app, contender } = await startCoordinator('coordinator');
  const well = (): Promise<number> => closedLoop(contender, WELL_IN_FLIGHT, WELL_BATCH);
  const refusalMs = await measureRefusal(app, settings.memory.refusals);
  const hung = await measureHung(app, well, settings);
  await app.close();
  return { refusalMs, ...hung };
}

async function measureRefusal(app: CoordinatorApplication, refusals: number): Promise<number> {
  const registry = app.get(ParticipantRegistry);
  registry.register(answering(REFUSES_AFTER_MS, 'abort'), { name: 'refusing' });
  registry.register(answering(SLOW_MS, 'commit'), { name: 'slow' });
  registry.register(answering(SLOW_MS, 'commit'), { name: 'slower' });
  const tookMs: number[] = [];
  for (let number = 0; number < refusals; number++) {
    const begunAt = performance.now();
    const outcome = await app.transactions.run({
      branches: [branch('slow', WORK), branch('refusing', WORK), branch('slower', WORK)],
    });
    tookMs.push(performance.now() - begunAt);
    if (outcome.status !== 'aborted') throw new UnexpectedOutcomeError('the refused transaction', outcome);
  }
  // The slow participants answer later, and are then rolled back once more.
  await sleep(SLOW_MS * 1.1);
  return round(median(tookMs), 2);
}

/**
 * Compares times with and without the hung participant, one after the other, so that changes in the speed of
 * the machine cancel out.
 */
async function measureHung(
  app: CoordinatorApplication,
  well: () => Promise<number>,
  { memory: { hungRounds, hungSliceMs } }: Settings,
): Promise<Pick<Isolation, 'hungRatio' | 'hungAbortedTps'>> {
  app.get(ParticipantRegistry).register(HUNG, { name: 'hung', prepareTimeoutMs: HUNG_PREPARE_TIMEOUT_MS });
  const ratios: number[] = [];
  const abortedTps: number[] = [];
  await throughputOf(well, hungSliceMs);
  for (let number = 0; number < hungRounds; number++) {
    const before = await throughputOf(well, hungSliceMs);
    const callers = new HungCallers(app);
    callers.start();
    // By then the first transactions have timed out, so time-outs, rollbacks and retries are all under way.
    await sleep(HUNG_PREPARE_TIMEOUT_MS * 1.2);
    const abortedBefore = callers.aborted;
    const during = await throughputOf(well, hungSliceMs);
    ratios.push(during / before);
    abortedTps.push(((callers.aborted - abortedBefore) / hungSliceMs) * 1000);
    await callers.stop();
  }
  return { hungRatio: round(median(ratios), 3), hungAbortedTps: round(median(abortedTps)) };
}

/** Callers that name the hung participant again and again, as soon as they may. */
class HungCallers {
  aborted = 0;
  private calling = false;
  private loops: Promise<void>[] = [];

  constructor(private readonly app: CoordinatorApplication) {}

  start(): void {
    this.calling = true;
    this.loops = Array.from({ length: HUNG_CALLERS }, () => this.callAgainAndAgain());
  }

  async stop(): Promise<void> {
    this.calling = false;
    await Promise.all(this.loops);
  }

  private async callAgainAndAgain(): Promise<void> {
    while (this.calling) {
      const outcome = await this.call();
      if (outcome instanceof ParticipantSilentError) await sleep(outcome.retryAfterMs);
      else if (outcome.status === 'aborted') this.aborted++;
      else throw new UnexpectedOutcomeError('the hung transaction', outcome);
    }
  }

  private async call(): Promise<Outcome | ParticipantSilentError> {
    try {
      return await this.app.transactions.run({
        branches: [branch('first', WORK), branch('hung', WORK), branch('third', WORK)],
      });
    } catch (error) {
      if (error instanceof ParticipantSilentError) return error;
      throw error;
    }
  }
}

/** Answers no call, not even a rollback, so that its branches stall. */
const HUNG: TransactionParticipant = {
  prepare: () => new Promise(() => {}),
  commit: () => new Promise(() => {}),
  rollback: () => new Promise(() => {}),
};

function answering(afterMs: number, vote: Vote): TransactionParticipant {
  return {
    prepare: () => new Promise((resolve) => setTimeout(resolve, afterMs, vote)),
    commit: () => {},
    rollback: () => {},
  };
}

/** @returns transactions a second. Timers run after each batch. */
async function throughputOf(batch: () => Promise<number>, durationMs: number): Promise<number> {
  const begunAt = performance.now();
  let batches = 0;
  while (performance.now() - begunAt < durationMs) {
    await batch();
    await letTimersRun();
    batches++;
  }
  return (batches * WELL_BATCH * 1000) / (performance.now() - begunAt);
}

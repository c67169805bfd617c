import { devNull } from 'node:os';
import { destination, pino } from 'pino';
import {
  ParticipantRegistry,
  type TransactionParticipant,
  type Vote,
  branch,
} from '../../src/coordinator/index.js';
import { letTimersRun } from '../framework/closed-loop.js';
import { type Contender, UnexpectedOutcomeError } from '../framework/contender.js';
import { ConventionalCoordinator } from './conventional-coordinator.js';
import { CoordinatorApplication } from '../framework/coordinator-application.js';
import { twoRounds } from './floor.js';
import { WORK, bareBranch } from './participants.js';
import { median, round } from '../framework/statistics.js';

/** Bytes held for a transaction that is preparing, beyond what its three participants hold themselves. */
export interface Retained {
  readonly inFlight: number;
  readonly floor: number;
  readonly coordinator: number;
  readonly conventional: number;
}

const IN_FLIGHT = 10_000;
const NAMES = ['first', 'second', 'third'] as const;
const REPEATS = 2;
const COMMITTED = Promise.resolve({ status: 'committed' });

/** A participant whose prepares wait until they are released. */
class HoldingParticipant implements TransactionParticipant {
  private held: ((vote: Vote) => void)[] = [];

  prepare(): Promise<Vote> {
    return new Promise((resolve) => this.held.push(resolve));
  }

  async commit(): Promise<void> {}
  async rollback(): Promise<void> {}

  letGo(): void {
    for (const vote of this.held) vote('commit');
    this.held = [];
  }
}

/** Holds 10,000 transactions in the middle of their prepares, and measures the heap. */
export async function measureRetained(): Promise<Retained> {
  const trio = [new HoldingParticipant(), new HoldingParticipant(), new HoldingParticipant()] as const;
  const app = await CoordinatorApplication.start([]);
  NAMES.forEach((name, index) => app.get(ParticipantRegistry).register(trio[index]!, { name }));
  const byName = new Map(NAMES.map((name, index) => [name as string, trio[index]!]));
  const conventional = new ConventionalCoordinator(
    byName,
    pino({ level: 'info' }, destination({ dest: devNull, sync: true })),
  );
  const bare = bareBranch(WORK);

  const calls: Contender = {
    name: 'participants alone',
    run: () => {
      for (const participant of trio) void participant.prepare();
      return COMMITTED;
    },
  };
  const above = async (name: string, run: Contender['run']): Promise<number> =>
    round((await heldBytes({ name, run }, trio)) - alone);
  const alone = await heldBytes(calls, trio);
  const retained = {
    inFlight: IN_FLIGHT,
    floor: await above('floor', () => twoRounds(trio, bare, bare, bare)),
    coordinator: await above('coordinator', () =>
      app.transactions.run({ name: 'benchmark', branches: NAMES.map((name) => branch(name, WORK)) }),
    ),
    conventional: await above('conventional', () =>
      conventional.execute(
        'benchmark',
        NAMES.map((participant) => ({ participant, payload: WORK })),
      ),
    ),
  };
  await app.close();
  return retained;
}

/** @returns bytes for each transaction, after a full collection. */
async function heldBytes(contender: Contender, trio: readonly HoldingParticipant[]): Promise<number> {
  const bytes: number[] = [];
  // The first round also pays for objects that are made only once.
  for (let repeat = 0; repeat <= REPEATS; repeat++) {
    const answers = Array.from({ length: IN_FLIGHT }, () => COMMITTED);
    const before = await collectedHeap();
    for (let number = 0; number < IN_FLIGHT; number++) answers[number] = contender.run();
    const after = await collectedHeap();
    if (repeat > 0) bytes.push((after - before) / IN_FLIGHT);
    for (const participant of trio) participant.letGo();
    for (const outcome of await Promise.all(answers)) {
      if (outcome.status !== 'committed') throw new UnexpectedOutcomeError(contender.name, outcome);
    }
  }
  return median(bytes);
}

async function collectedHeap(): Promise<number> {
  await letTimersRun();
  globalThis.gc!();
  return process.memoryUsage().heapUsed;
}

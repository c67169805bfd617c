import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { type Results, type Violation, runSchedules } from './runner.js';
import { Witnesses } from './witnesses.js';

/** How many schedules a worker gets at a time. Those of members take longer. */
const SHARE = 2_000;
const SHARE_OF_MEMBERS = 200;
const WORKER = fileURLToPath(new URL('./worker.js', import.meta.url));

/** The task of a worker. */
export interface Order {
  readonly firstSeed: number;
  readonly schedules: number;
  /** Whether several members share the log. */
  readonly members: boolean;
  /** Whether participants prepare several transactions as one. */
  readonly groups: boolean;
  /** Whether there is a participant that cannot prepare. */
  readonly lastResources: boolean;
}

/** The result of a worker, in a form that can be sent. */
export interface Delivery {
  readonly schedules: number;
  readonly violations: readonly Violation[];
  readonly witnesses: readonly [string, number][];
}

/**
 * Runs a range of seeds in as many processes as there are cores.
 *
 * @param stopEarly whether no further share is handed out once something has gone wrong.
 */
export async function runCampaign(
  { firstSeed, schedules, ...kind }: Order,
  stopEarly = false,
  processes = availableParallelism(),
): Promise<Results> {
  const atATime = kind.members ? SHARE_OF_MEMBERS : SHARE;
  if (schedules <= atATime) return runSchedules({ firstSeed, schedules, ...kind, stopsAtFirst: stopEarly });
  const witnesses = new Witnesses();
  const violations: Violation[] = [];
  let handedOut = 0;
  let done = 0;

  const hasEnough = (): boolean => handedOut >= schedules || (stopEarly && violations.length > 0);

  const employ = async (): Promise<void> => {
    const worker = fork(WORKER);
    while (!hasEnough()) {
      const share = Math.min(atATime, schedules - handedOut);
      const order = { firstSeed: firstSeed + handedOut, schedules: share, ...kind };
      handedOut += share;
      const delivery = await ask(worker, order);
      done += delivery.schedules;
      violations.push(...delivery.violations);
      witnesses.add(delivery.witnesses);
    }
    worker.disconnect();
  };
  await Promise.all(Array.from({ length: processes }, employ));
  return { schedules: done, violations: violations.toSorted((a, b) => a.seed - b.seed), witnesses };
}

/** @throws Error when the worker ends without an answer. */
function ask(worker: ChildProcess, order: Order): Promise<Delivery> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`a worker ended with exit code ${code}`));
    worker.once('exit', ended);
    worker.once('message', (delivery) => {
      worker.off('exit', ended);
      resolve(delivery as Delivery);
    });
    worker.send(order);
  });
}

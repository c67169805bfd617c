import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Logger } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CoordinatorModule,
  CoordinatorStatus,
  type Outcome,
  ParticipantRegistry,
  TransactionManager,
  type TransactionParticipant,
  type Vote,
  branch,
} from '../../src/coordinator/index.js';
import { RemoteParticipants, RemoteParticipantsModule } from '../../src/remote/index.js';
import { LogRecorder } from '../library/support/log-recorder.js';
import { Random } from '../simulation/random.js';
import { HostileHost } from './hostile-participant.js';

const SEED = 20_261_130;
/** How many calls are answered with a trick; `npm run test:ci` takes 50,000. */
const ANSWERS =
  process.env['HOSTILE_REQUESTS'] === undefined ? 1_000 : Number(process.env['HOSTILE_REQUESTS']);
const AT_ONCE = 48;
const TIMEOUT_MS = 60_000 + 5 * ANSWERS;
const MEGABYTE = 1_048_576;
/** The memory for finished transactions is limited, and is used up after this many. */
const WARM_UP = 0.2;
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** Keeps nothing of what it is asked. */
class Honest implements TransactionParticipant {
  prepare(): Vote {
    return 'commit';
  }
  commit(): void {}
  rollback(): void {}
}

function heapMegabytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed / MEGABYTE;
}

describe(`A coordinator with a hostile participant (seed ${SEED})`, () => {
  const random = new Random(SEED, 1);
  const log = new LogRecorder();
  const wrong: string[] = [];
  let controls = 0;
  let before = 0;
  let host: HostileHost;
  let module: TestingModule;
  let transactions: TransactionManager;

  beforeAll(async () => {
    host = await HostileHost.open(new Random(SEED, 2));
    module = await Test.createTestingModule({
      imports: [
        CoordinatorModule.forRoot({
          allowMemoryLog: true,
          maxAttempts: 10,
          retryBaseMs: 1,
          retryCapMs: 5,
          completionWaitMs: 1_000,
          recoveryIntervalMs: 20,
          retainFinished: 100,
        }),
        RemoteParticipantsModule.forRoot({
          credentials: 'the-token-of-the-tests',
          adminTimeoutMs: 200,
          participants: [
            { name: 'hostile', address: host.address, prepareTimeoutMs: 400, completionTimeoutMs: 200 },
          ],
        }),
      ],
    })
      .setLogger(log)
      .compile();
    const registry = module.get(ParticipantRegistry);
    for (const name of ['honest-0', 'honest-1']) registry.register(new Honest(), { name });
    await module.init();
    transactions = module.get(TransactionManager);
  });
  afterAll(async () => {
    await module.close();
    await host.close();
    Logger.overrideLogger(false);
  });

  /**
   * The records of the log are checked and dropped, so that they do not count as memory of the coordinator.
   */
  function readLog(): void {
    controls += log.entries.splice(0).filter(({ message }) => CONTROL.test(String(message))).length;
  }

  async function order(): Promise<void> {
    const isAlone = random.chance(0.3);
    const branches = [branch('hostile', { amount: 1 }), ...(isAlone ? [] : [branch('honest-0', 1)])];
    let outcome: Outcome;
    try {
      outcome = await transactions.run({ branches });
    } catch (error) {
      // Too many are stalled at the hostile participant: nothing was begun.
      const { code } = error as { code: string };
      if (!/^DTC_(PARTICIPANT_SILENT|PARTICIPANT_STALLED|OVERLOADED|PARTICIPANT_NOT_CLAIMED)$/.test(code))
        wrong.push(code);
      return;
    }
    const isPromised =
      outcome.status === 'committed' || (outcome.status === 'pending' && outcome.decision === 'commit');
    if (isPromised && !host.yes.has(outcome.transactionId)) wrong.push(`${outcome.transactionId} has no yes`);
    if (outcome.status === 'committed') committed++;
    if (outcome.status === 'heuristic') wrong.push(`${outcome.transactionId} is heuristic`);
  }
  let committed = 0;

  /** Orders that have nothing to do with the hostile participant. */
  async function otherOrder(): Promise<void> {
    const { status } = await transactions.run({ branches: [branch('honest-0', 1), branch('honest-1', 1)] });
    if (status !== 'committed') wrong.push(`an honest order is ${status}`);
    others++;
  }
  let others = 0;

  async function until(answers: number): Promise<void> {
    const worker = async (): Promise<void> => {
      while (host.answers < answers) {
        await order();
        // So that not all of them come in one message.
        for (let turns = random.whole(1, 6); turns > 0; turns--) await new Promise(setImmediate);
      }
    };
    const bystander = async (): Promise<void> => {
      while (host.answers < answers) {
        await otherOrder();
        readLog();
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    };
    await Promise.all([...Array.from({ length: AT_ONCE }, worker), bystander()]);
  }

  it(
    `takes ${ANSWERS} hostile answers: nothing commits without a yes, and other transactions commit as before`,
    async () => {
      await until(ANSWERS * WARM_UP);
      before = heapMegabytes();
      await until(ANSWERS);

      expect(wrong).toEqual([]);
      expect(committed).toBeGreaterThan(0);
      expect(others).toBeGreaterThan(0);
      expect(host.followed).toBe(0);
      expect(controls).toBe(0);
      expect(Object.keys(Object.prototype)).toEqual([]);
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
    },
    TIMEOUT_MS,
  );

  it('has lost no place, and ends everything once the participant answers as it should', async () => {
    host.isTired = true;
    const status = module.get(CoordinatorStatus);
    const remote = module.get(RemoteParticipants);
    await expect
      .poll(() => status.view().condition, { timeout: 30_000 })
      .toMatchObject({ inFlight: 0, stalled: 0, heuristic: 0 });
    await expect.poll(() => remote.list()[0]).toMatchObject({ inFlight: 0, queued: 0 });
    const last = (): Promise<Outcome> =>
      transactions.run({ branches: [branch('hostile', 1), branch('honest-0', 1)] });
    // A busy machine may let the time of a prepare pass.
    await expect.poll(async () => (await last()).status).toBe('committed');
    readLog();
    expect(controls).toBe(0);
    expect(heapMegabytes() - before).toBeLessThan(20);
  });
});

import { Logger, type INestApplicationContext } from '@nestjs/common';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Outcome, TransactionManager, branch } from '../../../src/coordinator/index.js';
import { MemoryReplicaGuardStore, refuse } from '../../../src/host/index.js';
import { type CallKind, type ParticipantTransport, RemoteParticipants } from '../../../src/remote/index.js';
import { idOf, runOf } from '../../support/identity.js';
import { Books, ledgerOf } from '../../remote/support/ledger.js';
import { TOKEN, startCoordinator } from '../../remote/support/services.js';
import type { Replica, Rig, StrangeCall } from './rig.js';

/** For prepares that no host answers. */
const SHORT_MS = 400;
/** For a broker that compiles a part of itself when it starts for the first time. */
export const START_MS = 180_000;
/** A coordinator tries again soon, and does not give up. */
const PATIENT = { retryBaseMs: 10, retryCapMs: 40, recoveryIntervalMs: 100, prepareTimeoutMs: 10_000 };
const LIMITS = { completionTimeoutMs: 1_000, maxAttempts: 1_000 };

interface SentCall {
  readonly method: string;
  readonly transactionId?: string;
}

/** @returns the message of these calls of one run, as JSON. */
export function messageOf(
  calls: readonly object[],
  { participant = 'stock', epoch = 1, version = 1 } = {},
): string {
  const { name, logId, token } = runOf({ epoch });
  return JSON.stringify({ version, participant, run: { name, logId, epoch, token, durable: true }, calls });
}

/** @returns every answer to a message, in the order in which they have come. */
export async function ask(
  transport: ParticipantTransport,
  message: string,
  { timeLeftMs = 10_000, kind = 'work' }: { timeLeftMs?: number; kind?: CallKind } = {},
): Promise<unknown[]> {
  const answers: unknown[] = [];
  await transport.send(message, (answer) => answers.push(answer), timeLeftMs, kind);
  return answers;
}

let sequence = 0;
export const nextId = (epoch = 1): string => idOf('shop', epoch, ++sequence);
export const call = (method: string, transactionId: string, given: object = {}): object => ({
  method,
  transactionId,
  branchId: 'stock',
  attempt: 0,
  timeLeftMs: 10_000,
  payload: { amount: 1 },
  ...given,
});

const openSockets = (): number =>
  process.getActiveResourcesInfo().filter((resource) => resource.startsWith('TCP')).length;

/**
 * The requirements for every transport, over a real connection and through its real broker.
 *
 * @param isInstalled whether its broker is there. @default true
 */
export function transportConformance(rig: Rig, isInstalled = true): void {
  describe.runIf(isInstalled)(`${rig.name} between coordinators and hosts`, () => {
    /** The log lines of the process. */
    const lines: string[] = [];
    let isOpen = true;
    const close = async (): Promise<void> => {
      if (isOpen) await rig.close();
      isOpen = false;
    };
    beforeAll(() => rig.start(), START_MS);
    afterAll(async () => {
      Logger.overrideLogger(false);
      await close();
    });
    const listen = (): void => {
      const write = (...parts: unknown[]): number => lines.push(parts.map(String).join(' '));
      Logger.overrideLogger({ log: write, error: write, warn: write, debug: write, verbose: write });
    };
    describe('with two replicas of a host', () => {
      withReplicas(rig, listen);
    });
    describe('with a host that keeps to no rule', () => {
      withStrangeHost(rig, listen);
    });
    it(`ends a message ${rig.missesHost === true ? 'when its time is over' : 'at once'} if no host is there`, async () => {
      const transport = rig.transport();
      const timeLeftMs = rig.missesHost === true ? SHORT_MS : 30_000;
      const sent = ask(transport, messageOf([call('prepare', nextId())]), { timeLeftMs });
      const error = await sent.then(String, String);
      expect(error).toMatch(rig.missesHost === true ? /no answer within/ : /^Error: (?!no answer within)/);
      await transport.close();
    });
    it('leaves no connection open, and no token in a log', async () => {
      await close();
      await expect.poll(openSockets).toBe(0);
      expect(lines.join('\n')).not.toContain(TOKEN);
    });
  });
}

function withReplicas(rig: Rig, listen: () => void): void {
  const books = { stock: new Books(), payment: new Books() };
  const guard = new MemoryReplicaGuardStore();
  let replicas: Replica[];
  let transport: ParticipantTransport;
  let coordinator: INestApplicationContext;
  let transactions: TransactionManager;
  let balances: [number, number];

  const startReplicas = (): Promise<Replica[]> => {
    const ledgers = [ledgerOf('stock', books.stock), ledgerOf('payment', books.payment)];
    return Promise.all([rig.host(ledgers, { guard }), rig.host(ledgers, { guard })]);
  };
  const order = (timeoutMs = 20_000): Promise<Outcome> =>
    transactions.run({
      branches: [branch('stock', { amount: 1 }), branch('payment', { amount: 1 })],
      timeoutMs,
    });
  const status = (timeoutMs?: number): Promise<string> =>
    order(timeoutMs).then(
      (outcome) => outcome.status,
      ({ code }: { code: string }) => code,
    );

  const callsUnderWay = (): number => {
    const list = coordinator.get(RemoteParticipants).list();
    return list.reduce((sum, { inFlight, queued }) => sum + inFlight + queued, 0);
  };

  beforeAll(async () => {
    replicas = await startReplicas();
    transport = rig.transport();
    coordinator = await startCoordinator(
      {
        participants: [
          { name: 'stock', address: rig.transport(), ...LIMITS },
          { name: 'payment', address: rig.transport(), ...LIMITS },
        ],
        adminTimeoutMs: 3_000,
      },
      PATIENT,
    );
    transactions = coordinator.get(TransactionManager);
    listen();
  });
  afterAll(async () => {
    await coordinator.close();
    await transport.close();
    await Promise.all(replicas.map((replica) => replica.stop()));
  });
  beforeEach(() => {
    balances = [books.stock.balance, books.payment.balance];
    for (const { calls } of Object.values(books)) calls.length = 0;
  });
  afterEach(async () => {
    for (const { scripts } of Object.values(books)) {
      for (const name of ['prepare', 'commit', 'rollback'] as const) delete scripts[name];
    }
    // In every case both have the money, or neither, and nothing is held.
    await expect
      .poll(() => [callsUnderWay(), books.stock.prepared.size, books.payment.prepared.size])
      .toEqual([0, 0, 0]);
    expect(books.stock.balance - balances[0]).toBe(books.payment.balance - balances[1]);
  });

  it('carries the two phases of a transaction', async () => {
    expect(await order()).toMatchObject({ status: 'committed' });
    expect(books.stock.balance - balances[0]).toBe(1);
    expect(books.stock.calls).toEqual(['prepare', 'commit']);
  });

  it('carries a refusal with its code and its reason', async () => {
    books.payment.scripts.prepare = () => refuse('NO_FUNDS', 'nothing left', { temporary: true });
    expect(await order()).toMatchObject({
      status: 'aborted',
      participant: 'payment',
      code: 'NO_FUNDS',
      reason: 'nothing left',
      temporary: true,
    });
  });

  it('carries the vote of a branch that has only read', async () => {
    books.payment.scripts.prepare = () => 'read-only';
    books.stock.scripts.prepare = () => 'read-only';
    expect(await order()).toMatchObject({ status: 'committed' });
    expect([books.stock.calls, books.payment.calls]).toEqual([['prepare'], ['prepare']]);
  });

  it('carries a commit in one phase', async () => {
    const id = nextId();
    const message = messageOf([call('commitOnePhase', id)]);
    expect(await ask(transport, message)).toEqual([{ id: 0, kind: 'vote', vote: 'commit' }]);
    expect(await ask(transport, message)).toEqual([{ id: 0, kind: 'vote', vote: 'commit' }]);
    expect(books.stock.calls).toEqual(['prepare', 'commit']);
    await ask(transport, messageOf([call('commitOnePhase', nextId())], { participant: 'payment' }));
  });

  it('carries the error of a participant with its code', async () => {
    books.stock.scripts.prepare = () => {
      throw Object.assign(new Error('the disk\nis full'), { code: 'E_DISK' });
    };
    const [answer] = await ask(transport, messageOf([call('prepare', nextId())]));
    expect(answer).toMatchObject({ id: 0, kind: 'error', code: 'E_DISK', reason: 'the disk\nis full' });
    expect(await order()).toMatchObject({ status: 'aborted', participant: 'stock' });
  });

  it('answers each call of a message alone, as soon as its answer is known', async () => {
    const gate = Promise.withResolvers<undefined>();
    const [slow, quick] = [nextId(), nextId()];
    books.stock.scripts.prepare = ({ transactionId }) =>
      transactionId === slow ? gate.promise : refuse('NO', 'at once');
    const answers: { id?: number }[] = [];
    const message = messageOf([call('prepare', slow), call('prepare', quick), { method: 'nonsense' }]);
    const done = transport.send(message, (answer) => answers.push(answer as object), 10_000, 'work');
    await expect.poll(() => new Set(answers.map(({ id }) => id))).toEqual(new Set([1, 2]));
    gate.resolve(undefined);
    await done;
    expect(answers[2]).toEqual({ id: 0, kind: 'vote', vote: 'commit' });
    await ask(transport, messageOf([call('rollback', slow)]));
  });

  it('carries a claim, lists of branches in doubt, and low-water marks', async () => {
    const administer = (calls: object): Promise<unknown[]> =>
      ask(transport, messageOf([{ timeLeftMs: 5_000, ...calls }], { epoch: 9 }), { kind: 'administration' });
    expect(await administer({ method: 'claim', answers: [] })).toEqual([{ id: 0, kind: 'done' }]);
    const id = nextId(9);
    await ask(transport, messageOf([call('prepare', id)], { epoch: 9 }));
    const [list] = await administer({ method: 'recover' });
    expect(list).toMatchObject({ kind: 'branches', more: false });
    expect((list as { branches: SentCall[] }).branches.map(({ transactionId }) => transactionId)).toContain(
      id,
    );
    await ask(transport, messageOf([call('rollback', id)], { epoch: 9 }), { kind: 'completion' });
    const marks = [{ epoch: 9, sequence: sequence + 10 }];
    expect(await administer({ method: 'forgetBelow', marks })).toEqual([{ id: 0, kind: 'done' }]);
    const [refusal] = await ask(transport, messageOf([call('prepare', nextId(9))], { epoch: 9 }));
    expect(refusal).toMatchObject({ kind: 'vote', vote: { vote: 'abort' } });
    expect(books.stock.calls).toEqual(['prepare', 'rollback']);
  });

  it('says which participant is not served', async () => {
    const [answer] = await ask(transport, messageOf([call('prepare', nextId())], { participant: 'nothing' }));
    expect(answer).toMatchObject({ kind: 'error', code: 'DTC_UNKNOWN_PARTICIPANT' });
  });

  it('refuses a message without the right token, and shows no token', async () => {
    const wrong = 'a-wrong-token-of-25-signs';
    const stranger = rig.transport(wrong);
    const refusal: unknown = await ask(stranger, messageOf([call('prepare', nextId())])).catch(
      (error: unknown) => error,
    );
    expect(String(refusal)).toContain('DTC_UNAUTHENTICATED');
    expect(String(refusal)).not.toContain(wrong);
    await stranger.close();
    expect(books.stock.calls).toEqual([]);
  });

  it('refuses a message that cannot be read or is too large, and does not carry out a part of it', async () => {
    await expect(ask(transport, messageOf([], { version: 1 }))).rejects.toThrow('DTC_WIRE_INVALID');
    await expect(ask(transport, messageOf([call('prepare', nextId())], { version: 2 }))).rejects.toThrow(
      'DTC_WIRE_VERSION',
    );
    await expect(ask(transport, '{"version":1,')).rejects.toThrow(Error);
    const large = call('prepare', nextId(), { payload: 'x'.repeat(1_200_000) });
    await expect(ask(transport, messageOf([large]), { timeLeftMs: 5_000 })).rejects.toThrow(Error);
    expect(books.stock.calls).toEqual([]);
    expect(await order()).toMatchObject({ status: 'committed' });
  });

  it('carries many transactions at once to both replicas, each with one effect', async () => {
    const before = replicas.map((replica) => replica.calls());
    const rounds = 12;
    for (let round = 0; round < rounds; round++) {
      const outcomes = await Promise.all([status(), status(), status()]);
      expect(new Set(outcomes)).toEqual(new Set(['committed']));
    }
    expect(books.stock.balance - balances[0]).toBe(3 * rounds);
    expect([books.stock.of('prepare'), books.stock.of('commit')]).toEqual([3 * rounds, 3 * rounds]);
    const served = replicas.map((replica, index) => replica.calls() - before[index]!);
    if (rig.isBalanced !== false) expect(Math.min(...served)).toBeGreaterThan(0);
    // No replica does what the other one does: each call is served once, and a recovery pass may come
    // between.
    expect(served[0]! + served[1]!).toBeLessThan(2 * 12 * rounds);
  });

  it('does no harm with a message that comes twice, or long after its transaction', async () => {
    const id = nextId();
    const message = messageOf([call('prepare', id)]);
    await Promise.allSettled([ask(transport, message), ask(transport, message)]);
    expect(books.stock.of('prepare')).toBe(1);
    expect(await ask(transport, message)).toEqual([{ id: 0, kind: 'vote', vote: 'commit' }]);
    await ask(transport, messageOf([call('rollback', id)]));
    // A prepare that a broker has kept until now.
    const [late] = await ask(transport, message);
    expect(late).toMatchObject({ kind: 'vote', vote: { vote: 'abort' } });
    expect(await ask(transport, messageOf([call('rollback', id)]))).toEqual([{ id: 0, kind: 'done' }]);
    expect(books.stock.calls).toEqual(['prepare', 'rollback']);
    expect(books.stock.prepared.size).toBe(0);
  });

  it('refuses a prepare that comes after its rollback', async () => {
    const id = nextId();
    expect(await ask(transport, messageOf([call('rollback', id)]))).toEqual([{ id: 0, kind: 'done' }]);
    const [late] = await ask(transport, messageOf([call('prepare', id)]));
    expect(late).toMatchObject({ kind: 'vote', vote: { vote: 'abort' } });
    expect(books.stock.calls).toEqual([]);
  });

  it('ends a message whose time is over, while decisions go on', async () => {
    const gate = Promise.withResolvers<undefined>();
    books.stock.scripts.prepare = () => gate.promise;
    const id = nextId();
    const hanging = ask(transport, messageOf([call('prepare', id)]), { timeLeftMs: SHORT_MS });
    await expect.poll(() => books.stock.of('prepare')).toBe(1);
    const rollback = messageOf([call('rollback', nextId())]);
    expect(await ask(transport, rollback, { kind: 'completion' })).toEqual([{ id: 0, kind: 'done' }]);
    await expect(hanging).rejects.toThrow(`no answer within ${SHORT_MS} ms`);
    gate.resolve(undefined);
    await expect.poll(() => books.stock.prepared.size).toBe(1);
    await ask(transport, messageOf([call('rollback', id)]));
  });

  it(
    'ends the messages in flight when its connections are cut, and connects again',
    async () => {
      const gate = Promise.withResolvers<undefined>();
      books.stock.scripts.prepare = () => gate.promise;
      const id = nextId();
      const running = ask(transport, messageOf([call('prepare', id)])).then(String, String);
      await expect.poll(() => books.stock.of('prepare')).toBe(1);
      await rig.cut();
      const error = await running;
      expect(error).toContain('Error');
      expect(error).not.toContain('no answer within');
      gate.resolve(undefined);
      await expect.poll(() => status(2_000), { timeout: 20_000 }).toBe('committed');
      await ask(transport, messageOf([call('rollback', id)]));
    },
    START_MS,
  );

  it('aborts the transactions whose host was stopped at work, and goes on when it is back', async () => {
    const gate = Promise.withResolvers<undefined>();
    books.stock.scripts.prepare = () => gate.promise;
    const outcome = status(800);
    await expect.poll(() => books.stock.of('prepare')).toBe(1);
    await Promise.all(replicas.map((replica) => replica.stop()));
    expect(await outcome).toBe('aborted');
    delete books.stock.scripts.prepare;
    replicas = await startReplicas();
    gate.resolve(undefined);
    await expect.poll(() => status(2_000)).toBe('committed');
  });

  it.runIf(rig.broker)(
    'delivers a decision after its broker has restarted',
    async () => {
      const broker = rig.broker!;
      const stopped = Promise.withResolvers<void>();
      books.stock.scripts.commit = async () => {
        delete books.stock.scripts.commit;
        await broker.stop();
        stopped.resolve();
        throw new Error('the broker has stopped');
      };
      const first = status();
      await stopped.promise;
      expect(await status(SHORT_MS)).toBe('aborted');
      await broker.start();
      await expect.poll(() => books.stock.balance - balances[0], { timeout: 20_000 }).toBe(1);
      expect(['committed', 'pending']).toContain(await first);
      await expect.poll(() => status(2_000), { timeout: 20_000 }).toBe('committed');
    },
    START_MS,
  );

  it('ends the messages in flight when it is closed, and sends no more', async () => {
    const gate = Promise.withResolvers<undefined>();
    books.stock.scripts.prepare = () => gate.promise;
    const own = rig.transport();
    const id = nextId();
    const running = ask(own, messageOf([call('prepare', id)]));
    await expect.poll(() => books.stock.of('prepare')).toBe(1);
    const ended = running.then(
      () => 'answered',
      () => 'ended',
    );
    await own.close();
    expect(await ended).toBe('ended');
    gate.resolve(undefined);
    await expect.poll(() => books.stock.prepared.size).toBe(1);
    await ask(transport, messageOf([call('rollback', id)]));
  });
}

/** Of the documented form, but for its size. */
const LONG_YES = `{"id":0,"kind":"vote","vote":"commit","more":"${'x'.repeat(300_000)}"}`;

/** Its answers to everything but prepares are sound. */
const USUAL: Readonly<Record<string, object>> = {
  claim: { kind: 'done' },
  recover: { kind: 'branches', branches: [], more: false },
  rollback: { kind: 'done' },
  commit: { kind: 'done' },
  forgetBelow: { kind: 'done' },
};

function withStrangeHost(rig: Rig, listen: () => void): void {
  let host: Replica;
  let coordinator: INestApplicationContext;
  let transport: ParticipantTransport;
  /** Answers the prepares. */
  let script: (call: StrangeCall) => void;

  beforeAll(async () => {
    host = await rig.strangeHost((strange) => {
      const { calls } = JSON.parse(strange.message) as { calls: SentCall[] };
      if (calls.some(({ method }) => method === 'prepare')) {
        script(strange);
        return;
      }
      strange.answer(...calls.map(({ method }, id) => JSON.stringify({ id, ...USUAL[method] })));
      strange.end();
    });
    transport = rig.transport();
    const participants = [{ name: 'stock', address: rig.transport(), ...LIMITS }];
    coordinator = await startCoordinator({ participants }, PATIENT);
    listen();
  });
  afterAll(async () => {
    await coordinator.close();
    await transport.close();
    await host.stop();
  });

  const order = (): Promise<Outcome> =>
    coordinator
      .get(TransactionManager)
      .run({ branches: [branch('stock', { amount: 1 }), branch('stock', { amount: 1 })] });
  const YES = '{"id":1,"kind":"vote","vote":"commit"}';

  it('takes a vote of the documented form', async () => {
    script = (strange) => {
      strange.answer('{"id":0,"kind":"vote","vote":"commit"}');
      strange.answer(YES);
      strange.end();
    };
    expect(await order()).toMatchObject({ status: 'committed' });
  });

  it.each<[what: string, answer: (call: StrangeCall) => void]>([
    ['no JSON', (strange) => strange.answer('commit')],
    ['no vote', (strange) => strange.answer('{"id":0,"kind":"vote","vote":"yes"}')],
    ['an answer to a commit', (strange) => strange.answer('{"id":0,"kind":"done"}')],
    ['an answer to another call', (strange) => strange.answer('{"id":7,"kind":"vote","vote":"commit"}')],
    ['no answer', () => {}],
    ['a very long answer', (strange) => strange.answer(LONG_YES)],
    ['something else', (strange) => strange.say({ vote: 'commit' })],
  ])('takes %s for no yes', async (_what, answer) => {
    script = (strange) => {
      strange.answer(YES);
      answer(strange);
      strange.end();
    };
    expect(await order()).toMatchObject({ status: 'aborted', participant: 'stock' });
  });

  it('takes the first of two answers to one call', async () => {
    script = (strange) => {
      strange.answer('{"id":0,"kind":"vote","vote":{"vote":"abort","code":"NO","reason":"first"}}');
      strange.answer('{"id":0,"kind":"vote","vote":"commit"}', YES);
      strange.end();
    };
    expect(await order()).toMatchObject({ status: 'aborted', code: 'NO', reason: 'first' });
  });

  it('takes no answer that comes after its time', async () => {
    const asked = Promise.withResolvers<StrangeCall>();
    script = (strange) => asked.resolve(strange);
    const answers: unknown[] = [];
    const message = messageOf([call('prepare', nextId())]);
    const sent = transport.send(message, (answer) => answers.push(answer), SHORT_MS, 'work');
    const ended = sent.catch((error: unknown) => String(error));
    const strange = await asked.promise;
    expect(await ended).toContain(`no answer within ${SHORT_MS} ms`);
    strange.answer('{"id":0,"kind":"vote","vote":"commit"}');
    strange.end();
    const rollback = messageOf([call('rollback', nextId())]);
    expect(await ask(transport, rollback)).toEqual([{ id: 0, kind: 'done' }]);
    expect(answers).toEqual([]);
  });
}

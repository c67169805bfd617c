import { ConsoleLogger, type INestApplication } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import request, { type Response } from 'supertest';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  CoordinatorModule,
  OperatorActions,
  ParticipantRegistry,
  TransactionManager,
  branch,
} from '../coordinator/index.js';
import { LogUnavailableError } from '../coordinator/log/log-errors.js';
import { ManualClock, ScriptedParticipant, settled } from '../coordinator/testing/index.js';
import { GroupActions } from './group-actions.js';
import type { GroupResult } from './group-result.js';
import { OperationsModule } from './operations.module.js';

const READER = 'a-reader-s-token-1';
const OPERATOR = 'an-operator-s-token';
const ORDER = { by: 'alice', reason: 'the ledger is repaired' };

describe('One action for many', () => {
  let app: INestApplication;
  let transactions: TransactionManager;
  let failing: ScriptedParticipant;

  beforeEach(async () => {
    const imports = [
      CoordinatorModule.forRoot({ clock: new ManualClock(), maxAttempts: 1, shutdownGraceMs: 20 }),
      OperationsModule.forRoot({
        readers: [{ name: 'rita', token: READER }],
        operators: [{ name: 'alice', token: OPERATOR }],
      }),
    ];
    const module = await Test.createTestingModule({ imports })
      .setLogger(new ConsoleLogger({ logLevels: [] }))
      .compile();
    app = module.createNestApplication(new FastifyAdapter());
    await app.init();
    await (app.getHttpAdapter().getInstance() as { ready: () => Promise<void> }).ready();
    transactions = app.get(TransactionManager);
    failing = new ScriptedParticipant({ commit: 'throw' });
    app.get(ParticipantRegistry).register(failing, { name: 'failing' });
  });
  afterEach(() => app.close());

  async function act(body: object, token = OPERATOR): Promise<Response> {
    return request(app.getHttpServer() as string)
      .post('/transactions/actions')
      .set('Authorization', `Bearer ${token}`)
      .send({ reason: ORDER.reason, ...body });
  }

  async function stalled(count: number): Promise<string[]> {
    const ids: string[] = [];
    for (let started = 0; started < count; started++)
      ids.push((await transactions.run({ branches: [branch('failing', started)] })).transactionId);
    return ids;
  }

  const branchesOf = (ids: readonly string[]) =>
    ids.map((transactionId) => ({ transactionId, branchId: 'failing' }));

  it('is done to each that allows it, recorded for each, and says which it refused and why', async () => {
    const ids = await stalled(3);
    const ended = (await transactions.run({ branches: [] })).transactionId;
    failing.script = {};
    const unknown = { transactionId: 'nobody.1.1', branchId: 'failing' };
    const none = { transactionId: ended, branchId: 'failing' };
    const { status, body } = await act({ action: 'retry', targets: [unknown, ...branchesOf(ids), none] });
    await settled();

    expect(status).toBe(200);
    expect(body).toEqual({
      done: 3,
      refused: [
        {
          code: 'DTC_TRANSACTION_NOT_FOUND',
          count: 1,
          detail: expect.stringContaining('nobody.1.1') as unknown,
          targets: [unknown],
        },
        {
          code: 'DTC_BRANCH_NOT_FOUND',
          count: 1,
          detail: expect.any(String) as unknown,
          targets: [none],
        },
      ],
      notTried: [],
    });
    expect(ids.map((id) => transactions.find(id)!.state)).toEqual(['COMMITTED', 'COMMITTED', 'COMMITTED']);
    const entries = app.get(OperatorActions).audit(10);
    const expected = ids.map((id) => Object.assign({ action: 'retry', target: `${id}/failing` }, ORDER));
    expect(entries).toHaveLength(3);
    expect(entries).toEqual(
      expect.arrayContaining(expected.map((one) => expect.objectContaining(one) as unknown)),
    );
  });

  it('resolves branches in one way, and forgets the reports of many', async () => {
    const ids = await stalled(2);
    const resolved = await act({ action: 'resolve', as: 'rollback', targets: branchesOf(ids) });
    expect(resolved.body).toEqual({ done: 2, refused: [], notTried: [] });
    expect(ids.map((id) => transactions.find(id)!.heuristic)).toEqual(['rollback', 'rollback']);
    const targets = ids.map((transactionId) => ({ transactionId }));
    expect((await act({ action: 'forget', targets })).body).toMatchObject({ done: 2 });
    expect((await act({ action: 'forget', targets })).body).toMatchObject({
      done: 0,
      refused: [{ code: 'DTC_ACTION_REFUSED', count: 2, targets }],
    });
  });

  describe('of an alarm', () => {
    let other: ScriptedParticipant;
    beforeEach(() => {
      other = new ScriptedParticipant({ commit: 'throw' });
      app.get(ParticipantRegistry).register(other, { name: 'other' });
    });

    /** A transaction with a branch at both participants, of which both have stalled. */
    const both = async (): Promise<string> =>
      (await transactions.run({ branches: [branch('failing', 1), branch('other', 1)] })).transactionId;
    const at = (transactionId: string, branchId: string): { transactionId: string; branchId: string } => ({
      transactionId,
      branchId,
    });
    const alarmsOf = (id: string): Readonly<Record<string, string | undefined>> =>
      Object.fromEntries(
        transactions.find(id)!.branches.map(({ branchId, alarms }) => [branchId, alarms?.[0]]),
      );

    it('forgets the report of its participant, and leaves the one of another', async () => {
      const ids = [await both(), await both()];
      const targets = ids.flatMap((id) => [at(id, 'failing'), at(id, 'other')]);
      await act({ action: 'resolve', as: 'rollback', targets });
      const { failing: alarm, other: kept } = alarmsOf(ids[0]!);
      expect([alarm, kept]).toEqual([
        expect.stringMatching(/^heuristic\.failing\./),
        expect.stringMatching(/^heuristic\.other\./),
      ]);

      const forgotten = ids.map((id) => at(id, 'failing'));
      expect((await act({ action: 'forget', alarm, targets: forgotten })).body).toEqual({
        done: 2,
        refused: [],
        notTried: [],
      });
      for (const id of ids) expect(alarmsOf(id)).toEqual({ failing: undefined, other: kept });
      expect(transactions.find(ids[0]!)!.heuristic).not.toBeNull();
      const [last] = app.get(OperatorActions).audit(1);
      expect(last).toMatchObject({
        action: 'forget',
        target: expect.stringMatching(/\/failing$/) as unknown,
      });

      // It has none any more, and the alarm does not count the branch of the other participant.
      const rest = await act({ action: 'forget', alarm, targets });
      expect(rest.body).toMatchObject({ done: 0, refused: [{ code: 'DTC_ACTION_REFUSED', count: 4 }] });
      const { body } = await act({
        action: 'forget',
        alarm: kept,
        targets: ids.map((id) => at(id, 'other')),
      });
      expect(body).toMatchObject({ done: 2 });
      expect(ids.map((id) => transactions.find(id)!.heuristic)).toEqual([null, null]);
    });

    it('is not done to a branch whose cause is another one by now', async () => {
      const id = await both();
      const { failing: alarm } = alarmsOf(id);
      vi.spyOn(failing, 'commit').mockRejectedValue(new Error('the disk is full'));
      await act({ action: 'retry', targets: [at(id, 'failing')] });
      await settled();
      expect(alarmsOf(id)['failing']).not.toBe(alarm);

      for (const body of [
        { action: 'resolve', as: 'commit', alarm },
        { action: 'retry', alarm },
      ]) {
        const { body: result } = await act({ ...body, targets: [at(id, 'failing')] });
        expect(result).toMatchObject({ done: 0, refused: [{ code: 'DTC_ACTION_REFUSED' }] });
      }
      expect(app.get(OperatorActions).audit(10)).toHaveLength(1);
      expect(transactions.find(id)!.branches[0]).toMatchObject({ stalled: true, attempts: 2 });
    });
  });

  it('is refused as a whole, and changes nothing, when it is not valid or not allowed', async () => {
    const [id] = (await stalled(1)) as [string];
    const target = { transactionId: id, branchId: 'failing' };
    const many = Array.from({ length: 201 }, (_, index) => ({ ...target, branchId: String(index) }));
    for (const body of [
      { action: 'retry', targets: [] },
      { action: 'retry', targets: many },
      { action: 'retry', targets: [target, target] },
      { action: 'retry', targets: [{ transactionId: id }] },
      { action: 'retry', targets: [target], as: 'commit' },
      { action: 'resolve', targets: [target] },
      { action: 'abort', targets: [target] },
      { action: 'pause', targets: [target] },
      { action: 'retry', targets: [target], reason: ' ' },
      { action: 'retry', targets: [target], all: true },
    ]) {
      const { status } = await act(body);
      expect([JSON.stringify(body).slice(0, 60), status]).toEqual([JSON.stringify(body).slice(0, 60), 400]);
    }
    expect((await act({ action: 'retry', targets: [target] }, READER)).status).toBe(403);
    expect(app.get(OperatorActions).audit(10)).toEqual([]);
  });
});

describe('The limits of an action for many', () => {
  afterEach(() => void vi.useRealTimers());

  const targets = Array.from({ length: 50 }, (_, index) => ({ transactionId: `t${index}` }));
  const act = (actOn: (action: { transactionId: string }) => Promise<unknown>): Promise<GroupResult> =>
    new GroupActions({ actOn } as never).act({ action: 'forget', targets }, ORDER);

  it('are four at the same time', async () => {
    let [running, most] = [0, 0];
    const result = await act(async () => {
      most = Math.max(most, ++running);
      await settled();
      running--;
    });
    expect([most, result]).toEqual([4, { done: 50, refused: [], notTried: [] }]);
  });

  it('are ten seconds, after which the others are not tried', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    const { done, refused, notTried } = await act(async () => void vi.advanceTimersByTime(1_000));
    expect([done, refused, notTried]).toEqual([10, [], targets.slice(10)]);
  });

  it('end it when no action can be recorded', async () => {
    const { done, refused, notTried } = await act(async ({ transactionId }) => {
      if (transactionId !== 't0') throw new LogUnavailableError('the disk is full');
    });
    expect([done, refused.map(({ code, count }) => [code, count])]).toEqual([
      1,
      [['DTC_LOG_UNAVAILABLE', 3 + 1]],
    ]);
    expect(notTried).toHaveLength(50 - 1 - 4);
  });

  it('keep the text of an unexpected error to the log', async () => {
    const { refused } = await act(() => Promise.reject(new Error('a secret')));
    expect(refused).toMatchObject([{ code: 'DTC_INTERNAL', count: 50 }]);
    expect(JSON.stringify(refused)).not.toContain('secret');
  });
});

import type { TestingModule } from '@nestjs/testing';
import * as fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  CoordinatorModule,
  OperatorActions,
  TransactionManager,
  TransactionNotFoundError,
} from '../../src/coordinator/index.js';
import { ScriptedLog } from '../faults/scripted-log.js';
import { DECIDER, OTHER_LOG_ID, claimOf, idOf } from '../support/identity.js';
import { start } from './support/applications.js';

const SEED = 20_261_128;
const ORDER = { by: 'alice', reason: 'a test' };

describe('An id', () => {
  /** Of an earlier run, whose participant is gone: it waits, and has the first place of this run. */
  const left = idOf('shop', 1, 7);
  let application: TestingModule;
  let transactions: TransactionManager;
  let actions: OperatorActions;
  let began: string;

  beforeEach(async () => {
    const branches = [{ branchId: 'gone', participant: 'gone', payload: 1, completed: false }];
    const decisions = [{ id: left, name: 'left behind', decider: DECIDER, branches }];
    const log = new ScriptedLog({ claim: claimOf({ epoch: 2, decisions }) });
    application = await start({ imports: [CoordinatorModule.forRoot({ name: 'shop', log })] });
    transactions = application.get(TransactionManager);
    actions = application.get(OperatorActions);
    began = (await transactions.run({ branches: [] })).transactionId;
  });

  async function expectUnknown(id: string): Promise<void> {
    expect(transactions.find(id)).toBeUndefined();
    expect(() => transactions.forget(id)).toThrow(TransactionNotFoundError);
    for (const ordered of [
      actions.abort(id, ORDER),
      actions.forget(id, ORDER),
      actions.retry(id, 'gone', ORDER),
      actions.resolve(id, 'gone', 'commit', ORDER),
    ]) {
      await expect(ordered).rejects.toThrow(TransactionNotFoundError);
    }
  }

  it('of a transaction that began finds it, and one of an earlier run that one', async () => {
    expect(began).toBe(idOf('shop', 2, 2));
    expect(transactions.find(began)).toMatchObject({ transactionId: began, state: 'COMMITTED' });
    expect(transactions.find(left)).toMatchObject({ transactionId: left, name: 'left behind' });
    await expect(actions.forget(left, ORDER)).rejects.toMatchObject({ code: 'DTC_ACTION_REFUSED' });
  });

  it('gets the decision for a participant in doubt, and wait where it is not known (fault 30)', async () => {
    const voting = transactions.begin();
    const aborted = await transactions.run({ branches: [], signal: AbortSignal.abort() });
    const answers = {
      [left]: 'commit',
      [began]: 'commit',
      [aborted.transactionId]: 'abort',
      // The log of that run is this one’s, and has no decision about it.
      [idOf('shop', 1, 2)]: 'abort',
      [voting.id]: 'wait',
      [idOf('shop', 2, 99)]: 'wait',
      [idOf('shop', 3, 1)]: 'wait',
      [idOf('shop', 1, 7, OTHER_LOG_ID)]: 'wait',
      [idOf('bank', 1, 7)]: 'wait',
      'no id': 'wait',
    };
    for (const [id, answer] of Object.entries(answers)) {
      expect([id, await transactions.decisionFor(id)]).toEqual([id, answer]);
    }
    await voting.rollback();
    expect(await transactions.decisionFor(voting.id)).toBe('abort');
  });

  it.each([
    ['whose number is the place of a transaction of an earlier run', idOf('shop', 2, 1)],
    ['whose number is to come', idOf('shop', 2, 3)],
    ['of an earlier run, whose number is that of one of this run', idOf('shop', 1, 2)],
    ['of a later run', idOf('shop', 3, 1)],
    ['of another log', idOf('shop', 1, 7, OTHER_LOG_ID)],
    ['of another coordinator', idOf('other', 1, 7)],
    ['with a number that fills its place again', idOf('shop', 2, 2 + 2 ** 32)],
  ])('%s is not known, and nothing can be ordered under it', async (_, id) => {
    await expectUnknown(id);
    expect(transactions.find(left)).toMatchObject({ stalled: true });
  });

  it('of any other kind is not known either', async () => {
    const parts = fc.constantFrom(...left.split('.'), '', '0', '-1', '01', '1e1', '__proto__', 'constructor');
    const near = fc.array(parts, { maxLength: 6 }).map((words) => words.join('.'));
    const ids = fc.oneof(near, fc.string({ unit: 'binary', maxLength: 80 })).filter((id) => id !== left);

    await fc.assert(
      fc.asyncProperty(ids, async (id) => {
        await expectUnknown(id);
      }),
      { numRuns: 300, seed: SEED },
    );
    expect(transactions.list().map(({ transactionId }) => transactionId)).toEqual([began, left]);
  });
});

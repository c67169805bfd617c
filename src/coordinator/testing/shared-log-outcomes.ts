import assert from 'node:assert/strict';
import type { CommitRecord } from '../log/decision-log.js';
import type { KeyedRequest, SharedDecisionLog } from '../log/shared-log.js';
import { type Check, LEASE, append, idIn, idsOf, recordOf } from './decision-log-fixtures.js';
import { adopted, withMembers } from './shared-log-fixtures.js';

/** Appends a record that a test gives, or one that decides others too. */
function appendRecord(
  log: SharedDecisionLog,
  record: CommitRecord,
  alsoCommits?: readonly string[],
): Promise<void> {
  return log.append({
    id: record.id,
    toRecord: () => record,
    ...(alsoCommits !== undefined && { alsoCommits }),
  });
}

function requestOf(transactionId: string, key = 'order-1', fingerprint = 'tea'): KeyedRequest {
  return { key, fingerprint, transactionId };
}

const ANSWER_CHECKS: Readonly<Record<string, Check>> = {
  'any member knows what was committed, also when it is ended': (create) =>
    withMembers(create, 2, async (a, b) => {
      await append(a.log, a.id(1));
      const record = recordOf(a.id(1), 1);
      assert.deepEqual(await b.log.outcomeOf(a.id(1)), { outcome: 'committed', record });
      await a.log.end(a.id(1));
      await a.log.check();
      const ended = { outcome: 'committed', record: null };
      assert.deepEqual(await b.log.outcomeOf(a.id(1)), ended);
      await adopted(b, a);
      assert.deepEqual(await b.log.outcomeOf(a.id(1)), ended);
    }),
  'no record means abort only after the fence': (create) =>
    withMembers(create, 2, async (a, b) => {
      await a.log.members.renew({ ...LEASE, address: 'http://a.internal' });
      const asked = await b.log.outcomeOf(a.id(1));
      const [owner, address] = [a.claim.epoch, 'http://a.internal'];
      assert.deepEqual(asked, { outcome: 'live', owner, address, isPurged: false, isRecorded: false });
      await adopted(b, a);
      assert.deepEqual(await b.log.outcomeOf(a.id(1)), { outcome: 'aborted' });
      assert.deepEqual(await b.log.outcomeOf(a.id(1)), { outcome: 'aborted' });
    }),
  'says nothing of a transaction of another log': (create) =>
    withMembers(create, 1, async (a) => {
      const { logId, epoch } = a.claim;
      const foreign = { outcome: 'unknown', because: 'foreign' };
      const other = logId === 'another0log0' ? 'another0log1' : 'another0log0';
      for (const id of [idIn({ logId: other, epoch }, 1), idIn({ logId, epoch: 99 }, 1), 'nonsense'])
        assert.deepEqual(await a.log.outcomeOf(id), foreign);
    }),
  'a record that names a branch as the decider is no decision yet': (create) =>
    withMembers(create, 2, async (a, b) => {
      const decider = { kind: 'branch', branchId: 'stock' } as const;
      const records = [1, 2].map((number) => Object.assign(recordOf(a.id(number), 1), { decider }));
      for (const record of records) await appendRecord(a.log, record);
      assert.equal((await b.log.outcomeOf(a.id(1))).outcome, 'live');
      const { runs } = await adopted(b, a);
      assert.deepEqual(runs[0]?.decisions, records);
      const asked = await a.log.outcomeOf(a.id(1));
      assert.deepEqual([asked.outcome, asked.outcome === 'live' && asked.owner], ['live', b.claim.epoch]);
      await b.log.end(a.id(1), 'aborted');
      await b.log.end(a.id(2), 'committed');
      await b.log.check();
      assert.deepEqual(await a.log.outcomeOf(a.id(1)), { outcome: 'aborted' });
      assert.deepEqual(await a.log.outcomeOf(a.id(2)), { outcome: 'committed', record: null });
    }),
  'a commit that a branch has decided is an outcome as any other': (create) =>
    withMembers(create, 2, async (a, b) => {
      const record = recordOf(a.id(1), 1);
      await appendRecord(a.log, { ...record, decider: { kind: 'branch', branchId: 'stock' } });
      assert.equal((await b.log.outcomeOf(a.id(1))).outcome, 'live');
      await a.log.progress({ id: record.id, toRecord: () => record }, true);
      assert.deepEqual(await b.log.outcomeOf(a.id(1)), { outcome: 'committed', record });
    }),
  'a record without branches is an outcome, with nothing left to deliver': (create) =>
    withMembers(create, 2, async (a, b) => {
      await appendRecord(a.log, { ...recordOf(a.id(1), 1), branches: [] });
      assert.deepEqual((await adopted(b, a)).runs.map(idsOf), [[]]);
      assert.deepEqual(await b.log.outcomeOf(a.id(1)), { outcome: 'committed', record: null });
      assert.equal(await b.log.members.settled(a.claim.epoch), true);
    }),
  'one record decides a whole group': (create) =>
    withMembers(create, 2, async (a, b) => {
      await appendRecord(a.log, recordOf(a.id(1), 1), [a.id(2), a.id(3)]);
      assert.deepEqual((await adopted(b, a)).runs.map(idsOf), [[a.id(1)]]);
      for (const number of [2, 3])
        assert.deepEqual(await b.log.outcomeOf(a.id(number)), { outcome: 'committed', record: null });
      assert.deepEqual(await b.log.outcomeOf(a.id(4)), { outcome: 'aborted' });
    }),
};

const KEY_CHECKS: Readonly<Record<string, Check>> = {
  'a key is given to one transaction, whichever member asks': (create) =>
    withMembers(create, 2, async (a, b) => {
      const requests = [a, b].flatMap(({ log, id }) =>
        ['k-2', 'k-1', 'k-3'].map((key, index) => log.reserve(requestOf(id(index + 1), key))),
      );
      const answers = await Promise.all(requests);
      for (const index of [0, 1, 2]) {
        const kinds = [answers[index]!.kind, answers[index + 3]!.kind];
        assert.deepEqual(kinds.toSorted(), ['earlier', 'reserved']);
      }
    }),
  'a key answers with the outcome of its first transaction': (create) =>
    withMembers(create, 2, async (a, b) => {
      const [first, later] = [requestOf(a.id(1)), requestOf(b.id(1))];
      assert.deepEqual(await a.log.reserve(first), { kind: 'reserved' });
      assert.deepEqual(await a.log.reserve(first), { kind: 'reserved' });
      const pending = await b.log.reserve(later);
      assert.deepEqual(
        [pending.kind, pending.kind === 'earlier' && pending.outcome.outcome],
        ['earlier', 'live'],
      );
      await append(a.log, a.id(1));
      await a.log.end(a.id(1));
      await a.log.check();
      const outcome = { outcome: 'committed', record: null };
      assert.deepEqual(await b.log.reserve(later), { kind: 'earlier', transactionId: a.id(1), outcome });
    }),
  'a key is refused to another request': (create) =>
    withMembers(create, 2, async (a, b) => {
      await a.log.reserve(requestOf(a.id(1)));
      const other = await b.log.reserve(requestOf(b.id(1), 'order-1', 'coffee'));
      assert.deepEqual(other, { kind: 'other-request', transactionId: a.id(1) });
    }),
  'an abort frees the key': (create) =>
    withMembers(create, 2, async (a, b) => {
      await a.log.reserve(requestOf(a.id(1)));
      await a.log.release(a.id(1));
      await a.log.check();
      assert.deepEqual(await b.log.reserve(requestOf(b.id(1), 'order-1', 'coffee')), { kind: 'reserved' });
      await a.log.release(a.id(1));
      await a.log.check();
      assert.equal((await a.log.reserve(requestOf(a.id(2)))).kind, 'other-request');
    }),
  'an adoption that finds no record frees the key, and one that finds one does not': (create) =>
    withMembers(create, 2, async (a, b) => {
      await a.log.reserve(requestOf(a.id(1), 'aborted'));
      await a.log.reserve(requestOf(a.id(2), 'committed'));
      await append(a.log, a.id(2));
      await adopted(b, a);
      assert.deepEqual(await b.log.reserve(requestOf(b.id(1), 'aborted')), { kind: 'reserved' });
      const earlier = await b.log.reserve(requestOf(b.id(2), 'committed'));
      assert.deepEqual(
        [earlier.kind, earlier.kind === 'earlier' && earlier.transactionId],
        ['earlier', a.id(2)],
      );
    }),
};

/** The cases for the outcomes and the request keys of a log that several members write at the same time. */
export const OUTCOME_CHECKS: Readonly<Record<string, Check>> = { ...ANSWER_CHECKS, ...KEY_CHECKS };

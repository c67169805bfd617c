import assert from 'node:assert/strict';
import {
  type Check,
  LEASE,
  NAME,
  append,
  auditOf,
  idIn,
  idsOf,
  recordOf,
  reportOf,
  sorted,
} from './decision-log-fixtures.js';
import {
  type TestMember,
  adopted,
  refusedAsFenced,
  startMember,
  withMembers,
} from './shared-log-fixtures.js';
import type { AdoptedRun, MemberEpoch } from '../log/shared-log.js';
import { OUTCOME_CHECKS } from './shared-log-outcomes.js';

const WRITING_CHECKS: Readonly<Record<string, Check>> = {
  'several members write at the same time, each in an epoch of its own': (create) =>
    withMembers(create, 3, async (a, b, c) => {
      const members = [a, b, c];
      assert.equal(new Set(members.map(({ claim }) => claim.logId)).size, 1);
      assert.deepEqual(
        members.map(({ claim }) => [claim.epoch, claim.durable, claim.decisions.length]),
        [1, 2, 3].map((epoch) => [epoch, true, 0]),
      );
      await Promise.all(members.flatMap(({ log, id }) => [1, 2, 3].map((number) => append(log, id(number)))));
      for (const { log, id } of members) assert.equal(await log.lookUp(id(3)), 'recorded');
      for (const { log } of members) {
        for (const { claim } of members) assert.equal(await log.isOwnRun(claim.epoch, claim.token), true);
      }
    }),
  'a member cannot write decisions for another epoch': (create) =>
    withMembers(create, 2, async (a, b) => {
      await assert.rejects(() => append(a.log, b.id(1)), RangeError);
      await assert.rejects(() => append(a.log, 'something else'), RangeError);
      assert.equal(await a.log.lookUp(b.id(1)), 'fenced');
    }),
  'after the fence no write has an effect': (create) =>
    withMembers(create, 2, async (a, b) => {
      await append(b.log, b.id(1));
      await b.log.report(reportOf(b.id(1)));
      await adopted(a, b);
      const late = recordOf(b.id(1), 'late');
      await refusedAsFenced(() => append(b.log, b.id(2)));
      await refusedAsFenced(() => b.log.progress({ id: late.id, toRecord: () => late }));
      await refusedAsFenced(() => b.log.report(reportOf(b.id(1), 'payment')));
      await refusedAsFenced(() => b.log.audit(auditOf(1)));
      await refusedAsFenced(() => b.log.check());
      await refusedAsFenced(() => b.log.reserve({ key: 'k', fingerprint: 'f', transactionId: b.id(3) }));
      // These need not be awaited by a caller, so a log may answer before it has written.
      for (const write of [
        () => b.log.end(b.id(1)),
        () => b.log.forget(b.id(1)),
        () => b.log.release(b.id(3)),
      ]) {
        await (async () => write())().catch(() => {});
      }
      const { runs } = await adopted(a, b);
      assert.deepEqual(
        runs.map(({ decisions, reports }) => ({ decisions, reports })),
        [{ decisions: [recordOf(b.id(1), 1)], reports: [reportOf(b.id(1))] }],
      );
      assert.deepEqual(await a.log.audits(), []);
    }),
  'what a fenced member could not write is absent, and what it has written is not': (create) =>
    withMembers(create, 2, async (a, b) => {
      await append(b.log, b.id(1));
      await adopted(a, b);
      await refusedAsFenced(() => append(b.log, b.id(2)));
      assert.equal(await b.log.lookUp(b.id(2)), 'absent');
      assert.equal(await b.log.lookUp(b.id(3)), 'absent');
      assert.notEqual(await b.log.lookUp(b.id(1)), 'absent');
      assert.equal(await a.log.lookUp(b.id(1)), 'recorded');
      assert.equal(await a.log.lookUp(b.id(2)), 'absent');
    }),
  'fenced and still appended exclude each other': (create) =>
    withMembers(create, 2, async (a, b) => {
      const told = new Map<string, boolean>();
      const seen = { isFenced: false };
      const underLoad = Promise.withResolvers<void>();
      const load = async (first: number): Promise<void> => {
        for (let number = first; !seen.isFenced && number < 40_000; number += 4) {
          const id = b.id(number);
          const answer = await append(b.log, id).then(
            () => true,
            (error: unknown) => {
              seen.isFenced = true;
              assert.equal((error as { code?: unknown }).code, 'DTC_FENCED');
              return false;
            },
          );
          told.set(id, answer);
          if (told.size === 8) underLoad.resolve();
        }
      };
      const loads = [1, 2, 3, 4].map(load);
      await underLoad.promise;
      const { runs } = await adopted(a, b);
      await Promise.all(loads);
      assert.ok(seen.isFenced, 'the fence came only when nothing was written any more');
      const recorded = [...told].flatMap(([id, isRecorded]) => (isRecorded ? [id] : []));
      assert.deepEqual(runs.map(idsOf), [recorded.toSorted()]);
    }),
};

async function reportsAt({ log }: TestMember): Promise<number> {
  return (await log.reports()).length;
}

const ADOPTION_CHECKS: Readonly<Record<string, Check>> = {
  'one member wins an adoption': (create) =>
    withMembers(create, 3, async (a, b, c) => {
      await append(c.log, c.id(1));
      const answers = await Promise.all([a, b].map(({ log }) => log.members.adopt(c.claim.epoch)));
      const won = answers.filter((answer) => answer !== 'taken');
      assert.deepEqual(
        won.map(({ runs }) => runs.map(idsOf)),
        [[[c.id(1)]]],
      );
      const winner = answers[0] === 'taken' ? b : a;
      const { epochs } = await a.log.members.renew(LEASE);
      const seen = epochs.find(({ epoch }) => epoch === c.claim.epoch);
      assert.deepEqual([seen?.isFenced, seen?.adoptedBy], [true, winner.claim.epoch]);
    }),
  'two members that adopt each other come to one answer': (create) =>
    withMembers(create, 2, async (a, b) => {
      const answers = await Promise.allSettled([
        a.log.members.adopt(b.claim.epoch),
        b.log.members.adopt(a.claim.epoch),
      ]);
      assert.deepEqual(answers.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected']);
      const loser = answers.find((answer) => answer.status === 'rejected');
      assert.equal((loser?.reason as { code?: unknown } | undefined)?.code, 'DTC_FENCED');
    }),
  'a member that dies while adopting is adopted with all that it had adopted': (create) =>
    withMembers(create, 3, async (a, b, c) => {
      await append(b.log, b.id(1));
      await append(c.log, c.id(1));
      await c.log.report(reportOf(c.id(2)));
      await adopted(b, c);
      const { runs } = await adopted(a, b);
      assert.deepEqual(runs.map(idsOf), [[b.id(1)], [c.id(1)]]);
      assert.deepEqual(
        runs.flatMap(({ reports }) => sorted(reports)),
        [reportOf(c.id(2))],
      );
      for (const [index, { claim }] of [b, c].entries()) {
        const { name, logId, epoch, token, durable } = runs[index]!.run;
        assert.deepEqual(
          { name, logId, epoch, token, durable },
          { name: NAME, logId: claim.logId, epoch: claim.epoch, token: claim.token, durable: true },
        );
      }
    }),
  'an adoption can be read again': (create) =>
    withMembers(create, 2, async (a, b) => {
      await append(b.log, b.id(1));
      assert.deepEqual((await adopted(a, b)).runs.map(idsOf), [[b.id(1)]]);
      assert.deepEqual((await adopted(a, b)).runs.map(idsOf), [[b.id(1)]]);
    }),
  'only the member that has adopted an epoch ends what it has left': (create) =>
    withMembers(create, 3, async (a, b, c) => {
      for (const number of [1, 2]) await append(c.log, c.id(number));
      await adopted(a, c);
      await b.log.end(c.id(1));
      const stranger = recordOf(c.id(2), 'of a stranger');
      await b.log.progress({ id: stranger.id, toRecord: () => stranger });
      await b.log.check();
      assert.deepEqual((await adopted(a, c)).runs[0]?.decisions.length, 2);
      const progressed = recordOf(c.id(2), 'progressed');
      await a.log.progress({ id: progressed.id, toRecord: () => progressed });
      await a.log.end(c.id(1));
      await a.log.check();
      assert.deepEqual((await adopted(a, c)).runs[0]?.decisions, [progressed]);
    }),
  'only the member that owns an epoch forgets its reports, until it is settled': (create) =>
    withMembers(create, 3, async (a, b, c) => {
      for (const number of [1, 2]) await c.log.report(reportOf(c.id(number)));
      for (const epochIsFenced of [false, true]) {
        if (epochIsFenced) await adopted(a, c);
        await b.log.forget(c.id(1));
        await b.log.check();
        assert.equal(await reportsAt(b), 2);
      }
      await a.log.forget(c.id(1));
      assert.equal(await reportsAt(a), 1);
      assert.equal(await a.log.members.settled(c.claim.epoch), true);
      // A branch that is found late ends against the decision: the member that has found it reports that.
      await b.log.report(reportOf(c.id(3)));
      await b.log.forget(c.id(3));
      await b.log.forget(c.id(2));
      assert.equal(await reportsAt(b), 0);
    }),
  'an epoch is settled only when nothing of it is open, and only by its adopter': (create) =>
    withMembers(create, 3, async (a, b, c) => {
      const { epoch, token } = c.claim;
      await append(c.log, c.id(1));
      assert.equal(await a.log.members.settled(epoch), false);
      await adopted(a, c);
      assert.equal(await a.log.members.settled(epoch), false);
      await a.log.end(c.id(1));
      assert.equal(await b.log.members.settled(epoch), false);
      assert.equal(await a.log.members.settled(epoch), true);
      const { epochs } = await b.log.members.renew(LEASE);
      assert.deepEqual(
        epochs.map((seen) => seen.epoch),
        [a.claim.epoch, b.claim.epoch],
      );
      const known = { token, isFenced: true, isSettled: true, isPresumable: true };
      assert.deepEqual(await b.log.members.runs([epoch, 99]), [
        { epoch, ...known, adoptedBy: a.claim.epoch },
      ]);
    }),
  'refuses to adopt the own epoch, and one that was never given out': (create) =>
    withMembers(create, 1, async (a) => {
      await assert.rejects(() => a.log.members.adopt(a.claim.epoch), RangeError);
      await assert.rejects(() => a.log.members.adopt(99), RangeError);
    }),
};

const MEMBER_CHECKS: Readonly<Record<string, Check>> = {
  'a renewal shows every epoch that is not settled, with what its member tells': (create) =>
    withMembers(create, 2, async (a, b) => {
      const told = { member: 'host-b', address: 'http://b.internal', draining: true };
      await b.log.members.renew(told);
      const { epochs, mustRestart, serverUptimeMs, format } = await a.log.members.renew(LEASE);
      assert.deepEqual([mustRestart, serverUptimeMs >= 0, format], [null, true, 1]);
      assert.ok(epochs.every(({ ageMs }) => ageMs >= 0 && ageMs < 60_000));
      const common = { isLockHeld: true, isFenced: false, adoptedBy: null, isPresumable: true };
      const [{ formats, ageMs }] = epochs as [MemberEpoch, ...MemberEpoch[]];
      assert.equal(formats.first, 1);
      assert.deepEqual(
        epochs.map((epoch) => Object.assign({}, epoch, { ageMs })),
        [
          { epoch: a.claim.epoch, token: a.claim.token, ...LEASE, formats, ageMs, ...common },
          { epoch: b.claim.epoch, token: b.claim.token, ...told, formats, ageMs, ...common },
        ],
      );
    }),
  'the lock of a member that is gone is free': (create) =>
    withMembers(create, 1, async (a) => {
      const gone = await startMember(create);
      await gone.log.members.renew(LEASE);
      await gone.log.close();
      const lock = async (): Promise<boolean | undefined> => {
        const { epochs } = await a.log.members.renew(LEASE);
        return epochs.find(({ epoch }) => epoch === gone.claim.epoch)?.isLockHeld;
      };
      for (let turn = 0; turn < 200 && (await lock()) === true; turn++);
      assert.equal(await lock(), false);
    }),
  'a member that was fenced is told, and goes on in a new epoch': (create) =>
    withMembers(create, 2, async (a, b) => {
      await append(b.log, b.id(1));
      await adopted(a, b);
      assert.equal((await b.log.members.renew(LEASE)).mustRestart, 'fenced');
      const claim = await b.log.members.restart();
      assert.deepEqual([claim.epoch, claim.logId, claim.decisions.length], [3, b.claim.logId, 0]);
      assert.notEqual(claim.token, b.claim.token);
      assert.equal((await b.log.members.renew(LEASE)).mustRestart, null);
      await append(b.log, idIn(claim, 1));
      assert.equal(await b.log.lookUp(idIn(claim, 1)), 'recorded');
      assert.equal(await b.log.lookUp(b.id(2)), 'absent');
      await assert.rejects(() => append(b.log, b.id(3)), RangeError);
    }),
  'a member that restarts by itself leaves its old epoch to be adopted': (create) =>
    withMembers(create, 2, async (a, b) => {
      await append(b.log, b.id(1));
      const claim = await b.log.members.restart();
      await append(b.log, idIn(claim, 1));
      const { epochs } = await b.log.members.renew(LEASE);
      const old = epochs.find(({ epoch }) => epoch === b.claim.epoch);
      assert.deepEqual([old?.isFenced, old?.adoptedBy], [true, null]);
      assert.deepEqual((await adopted(a, b)).runs.map(idsOf), [[b.id(1)]]);
      assert.equal((await b.log.members.renew(LEASE)).mustRestart, null);
    }),
  'a clean stop hands over at once what is left': (create) =>
    withMembers(create, 3, async (a, b, c) => {
      await append(c.log, c.id(1));
      await append(b.log, b.id(1));
      await adopted(b, c);
      await b.log.members.leave();
      const { epochs } = await a.log.members.renew(LEASE);
      const left = epochs.find(({ epoch }) => epoch === b.claim.epoch);
      assert.deepEqual([left?.isFenced, left?.adoptedBy], [true, null]);
      assert.deepEqual((await adopted(a, b)).runs.map(idsOf), [[b.id(1)], [c.id(1)]]);
    }),
  'the format is raised only when every member can read it': (create) =>
    withMembers(create, 2, async (a, b) => {
      const { epochs, format } = await a.log.members.renew(LEASE);
      const { last } = epochs[0]!.formats;
      assert.equal(await b.log.members.raiseFormat(last + 1), format);
      assert.equal(await b.log.members.raiseFormat(last), last);
    }),
};

const BEHIND = { code: 'DTC_LOG_BEHIND' };

/** Everything that a member writes and that nothing would bring back. */
const ADDITIONS: Readonly<Record<string, (member: TestMember, other: TestMember) => unknown>> = {
  'a decision': ({ log, id }) => append(log, id(1)),
  'a heuristic report': ({ log, id }) => log.report(reportOf(id(7))),
  'an audit entry': ({ log }) => log.audit(auditOf(1)),
  'a request key': ({ log, id }) => log.reserve({ key: 'k', fingerprint: 'f', transactionId: id(8) }),
  'a registration': ({ log }) => log.register({ name: 'stock', address: 'http://stock', details: null }),
  'a fence': (member, other) => adopted(member, other),
};

const LOSS_CHECKS: Readonly<Record<string, Check>> = {
  ...Object.fromEntries(
    Object.entries(ADDITIONS).map(([name, add]): [string, Check] => [
      `a log that has lost ${name} that it had acknowledged takes nothing more, whatever else it holds`,
      (create, backUp) =>
        withMembers(create, 2, async (a, b) => {
          for (const number of [1_000, 2]) await append(a.log, a.id(number));
          const restore = await backUp();
          await add(a, b);
          await restore();
          for (let turn = 0; turn < 2; turn++) await assert.rejects(() => append(a.log, a.id(3)), BEHIND);
          await assert.rejects(async () => a.log.check(), BEHIND);
          await assert.rejects(() => a.log.lookUp(a.id(4)), BEHIND);
          await assert.rejects(() => a.log.members.restart(), BEHIND);
        }),
    ]),
  ),
  'nothing is presumed of an epoch of which something was lost': (create, backUp) =>
    withMembers(create, 2, async (a, b) => {
      await append(a.log, a.id(2));
      const restore = await backUp();
      await append(a.log, a.id(1));
      await restore();
      await assert.rejects(() => append(a.log, a.id(3)), BEHIND);
      const [{ run, decisions }] = (await adopted(b, a)).runs as [AdoptedRun];
      assert.deepEqual([run.durable, idsOf({ decisions })], [false, [a.id(2)]]);
      assert.deepEqual(await b.log.outcomeOf(a.id(1)), { outcome: 'unknown', because: 'undecidable' });
      assert.equal((await b.log.outcomeOf(a.id(2))).outcome, 'committed');
    }),
  'a log that has lost nothing of what it had acknowledged goes on': (create, backUp) =>
    withMembers(create, 2, async (a, b) => {
      for (const { log, id } of [a, b]) for (const number of [9, 1]) await append(log, id(number));
      await a.log.end(a.id(9));
      await a.log.check();
      const restore = await backUp();
      await append(b.log, b.id(2));
      await restore();
      await append(a.log, a.id(2));
      assert.equal(await a.log.lookUp(a.id(1)), 'recorded');
      await assert.rejects(() => append(b.log, b.id(3)), BEHIND);
      await append(a.log, a.id(3));
    }),
};

const SHARING_CHECKS: Readonly<Record<string, Check>> = {
  'every member sees the reports and audit entries of all': (create) =>
    withMembers(create, 2, async (a, b) => {
      await a.log.report(reportOf(a.id(1)));
      await b.log.report(reportOf(b.id(1)));
      await a.log.audit(auditOf(1));
      await b.log.audit({ ...auditOf(1), by: 'bob' });
      for (const { log } of [a, b]) {
        assert.deepEqual(sorted(await log.reports()), sorted([reportOf(a.id(1)), reportOf(b.id(1))]));
        assert.deepEqual(
          (await log.audits()).map(({ epoch, by }) => [epoch, by]),
          [
            [a.claim.epoch, 'alice'],
            [b.claim.epoch, 'bob'],
          ],
        );
      }
    }),
  'every member sees where a participant is registered, also after it was removed': (create) =>
    withMembers(create, 2, async (a, b) => {
      await a.log.register({ name: 'stock', address: 'http://stock.internal', details: { retries: 3 } });
      await a.log.register({ name: 'payment', address: 'http://payment.internal', details: null });
      await b.log.register({ name: 'stock', address: 'http://stock-2.internal', details: { retries: 4 } });
      await b.log.unregister('payment');
      const seen = [...(await a.log.registrations())].toSorted((one, other) => one.revision - other.revision);
      assert.deepEqual(
        seen.map(({ name, address, details, isRemoved }) => ({ name, address, details, isRemoved })),
        [
          { name: 'stock', address: 'http://stock-2.internal', details: { retries: 4 }, isRemoved: false },
          { name: 'payment', address: 'http://payment.internal', details: null, isRemoved: true },
        ],
      );
      assert.ok(seen[0]!.revision < seen[1]!.revision);
    }),
};

/** The cases for a log that several members write at the same time. */
export const SHARED_CHECKS: Readonly<Record<string, Check>> = {
  ...WRITING_CHECKS,
  ...ADOPTION_CHECKS,
  ...MEMBER_CHECKS,
  ...LOSS_CHECKS,
  ...SHARING_CHECKS,
  ...OUTCOME_CHECKS,
};

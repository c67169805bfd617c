import assert from 'node:assert/strict';
import { AUDIT_KEPT, type DecisionLog, type LogClaim } from '../log/decision-log.js';
import {
  type Check,
  NAME,
  append,
  auditOf,
  claimOf,
  idIn,
  idsOf,
  openLog,
  recordOf,
  reportOf,
  sorted,
  withLog,
} from './decision-log-fixtures.js';
import { DURABLE_IDENTITY_CHECKS, IDENTITY_CHECKS } from './decision-log-identity.js';
import { SHARED_CHECKS } from './shared-log-conformance.js';

/** The adapter that the conformance suite needs for a log. @publicApi */
export interface DecisionLogStorage {
  /**
   * @returns a log with this storage, not yet opened. Called several times, like several starts of a process.
   */
  createLog(): DecisionLog;
  /**
   * Keeps what the storage holds now. A log that several members share needs it.
   *
   * @returns a function that brings back what was kept, as if a server had taken over that lacks all that was written
   * since. It ends every connection to the storage.
   */
  backUp?(): Promise<() => void | Promise<void>>;
  /** Removes the storage. */
  remove?(): void | Promise<void>;
}

/** One required behaviour of every log. @publicApi */
export interface ConformanceCase {
  readonly name: string;
  /** @returns a promise that rejects with an AssertionError when the log does not behave so. */
  readonly run: () => Promise<void>;
}

/** The requirements for every log, including a log that forgets when it is closed. */
const CHECKS: Readonly<Record<string, Check>> = {
  ...IDENTITY_CHECKS,
  'a new log holds nothing': async (create) => {
    const log = create();
    const claim = await log.open(NAME);
    assert.deepEqual([...claim.decisions], []);
    assert.deepEqual([...claim.reports], []);
    assert.deepEqual([...claim.audits], []);
    assert.match(claim.logId, /^[0-9a-z]{12}$/);
    assert.equal(claim.epoch, 1);
    assert.ok(claim.token.length >= 16, `the token ${JSON.stringify(claim.token)} can be guessed`);
    await log.close();
  },
  'accepts a decision, and many at once': async (create) => {
    await withLog(create, async (log, claim) => {
      await append(log, idIn(claim, 1));
      await Promise.all(Array.from({ length: 300 }, (_, index) => append(log, idIn(claim, index + 2))));
    });
  },
  'reports that it can be written': (create) => withLog(create, (log) => log.check()),
  'accepts the end of a decision and a report, and forgets the report': async (create) => {
    await withLog(create, async (log, claim) => {
      const id = idIn(claim, 1);
      await append(log, id);
      await log.end(id);
      await log.report(reportOf(id));
      await log.forget(id);
    });
  },
};

/** The requirements for a log whose decisions outlive it. */
const DURABLE_CHECKS: Readonly<Record<string, Check>> = {
  ...DURABLE_IDENTITY_CHECKS,
  'a decision exists after the next start, with all its branches': async (create) => {
    const payload = { sku: 'tea', quantity: 2, note: null };
    const id = await withLog(create, async (log, claim) => {
      await append(log, idIn(claim, 1), payload);
      return idIn(claim, 1);
    });
    const { decisions } = await claimOf(create);
    assert.deepEqual([...decisions], [recordOf(id, payload)]);
  },
  'a decision exists although the log was never closed': async (create) => {
    const log = create();
    const claim = await openLog(log);
    for (let number = 1; number <= 20; number++) await append(log, idIn(claim, number));
    assert.equal(await log.lookUp(idIn(claim, 20)), 'recorded');
    await log.close();
    assert.equal((await claimOf(create)).decisions.length, 20);
  },
  'the same decision written twice is one decision': async (create) => {
    const id = await withLog(create, async (log, claim) => {
      await append(log, idIn(claim, 1));
      await append(log, idIn(claim, 1));
      return idIn(claim, 1);
    });
    assert.deepEqual(idsOf(await claimOf(create)), [id]);
  },
  'a progress record exists as last written, and undoes no end': async (create) => {
    const record = await withLog(create, async (log, claim) => {
      const [id, ended] = [idIn(claim, 1), idIn(claim, 2)];
      const before = recordOf(id, null);
      const branches = before.branches.map((branch, index) => ({ ...branch, completed: index === 0 }));
      const progressed = { ...before, branches };
      await append(log, id);
      await log.progress({ id, toRecord: () => progressed });
      await append(log, ended);
      const writing = log.progress({ id: ended, toRecord: () => recordOf(ended, null) });
      await log.end(ended);
      await writing;
      return progressed;
    });
    assert.deepEqual([...(await claimOf(create)).decisions], [record]);
  },
  'a record that names a branch gives way to the commit that the branch has decided': async (create) => {
    const decided = await withLog(create, async (log, claim) => {
      const record = recordOf(idIn(claim, 1), { sku: 'tea' });
      const named = { ...record, decider: { kind: 'branch', branchId: 'payment' } as const };
      await log.append({ id: record.id, toRecord: () => named });
      const branches = record.branches.map((branch, index) => ({ ...branch, completed: index === 1 }));
      await log.progress({ id: record.id, toRecord: () => ({ ...record, branches }) }, true);
      return { ...record, branches };
    });
    assert.deepEqual([...(await claimOf(create)).decisions], [decided]);
  },
  'answers inquiries while decisions are being written': async (create) => {
    await withLog(create, async (log, claim) => {
      const most = 20_000;
      let left = most;
      const load = async (): Promise<void> => {
        while (left > 0) await append(log, idIn(claim, left--));
      };
      const loads = [load(), load(), load()];
      const answer = await log.lookUp(idIn(claim, most + 1));
      const isUnderLoad = left > 0;
      left = 0;
      await Promise.all(loads);
      assert.equal(answer, 'absent');
      assert.ok(isUnderLoad, 'the answer came only when nothing was written any more');
    });
  },
  'forgets a report that is being written': async (create) => {
    await withLog(create, async (log, claim) => {
      const writing = log.report(reportOf(idIn(claim, 1)));
      await log.forget(idIn(claim, 1));
      await writing;
    });
    assert.deepEqual([...(await claimOf(create)).reports], []);
  },
  'an ended decision is gone after the next start, and nothing else': async (create) => {
    const kept = await withLog(create, async (log, claim) => {
      const ids = [1, 10, 2].map((number) => idIn(claim, number));
      for (const id of ids) await append(log, id);
      await log.end(idIn(claim, 1));
      return ids.slice(1);
    });
    assert.deepEqual(idsOf(await claimOf(create)), kept);
  },
  'a decision that an earlier run ended is gone as well': async (create) => {
    const id = await withLog(create, async (log, claim) => {
      await append(log, idIn(claim, 1));
      return idIn(claim, 1);
    });
    await withLog(create, (log) => log.end(id));
    assert.deepEqual(idsOf(await claimOf(create)), []);
  },
  'answers for each id whether it is recorded': async (create) => {
    const id = await withLog(create, async (log, claim) => {
      await append(log, idIn(claim, 1));
      assert.equal(await log.lookUp(idIn(claim, 1)), 'recorded');
      assert.equal(await log.lookUp(idIn(claim, 11)), 'absent');
      return idIn(claim, 1);
    });
    await withLog(create, async (log) => assert.equal(await log.lookUp(id), 'recorded'));
  },
  'an answer of absence is final: it waits for a running write': async (create) => {
    await withLog(create, async (log, claim) => {
      const writing = append(log, idIn(claim, 1));
      const answer = await log.lookUp(idIn(claim, 1));
      await writing;
      assert.equal(answer, 'recorded');
    });
  },
  'a report exists after every start until it is forgotten': async (create) => {
    const reports = await withLog(create, async (log, claim) => {
      const [id, other] = [idIn(claim, 1), idIn(claim, 10)];
      const all = [reportOf(id, 'stock'), reportOf(id, 'payment'), reportOf(other)];
      for (const report of all) await log.report(report);
      return all;
    });
    for (let start = 0; start < 2; start++) {
      const claim = await claimOf(create);
      assert.deepEqual(sorted(claim.reports), sorted(reports));
    }
    await withLog(create, (log) => log.forget(reports[0]!.id));
    assert.deepEqual([...(await claimOf(create)).reports], [reports[2]]);
  },
  'the report of one branch is forgotten, and those of the others are not': async (create) => {
    const reports = await withLog(create, async (log, claim) => {
      const [id, other] = [idIn(claim, 1), idIn(claim, 10)];
      const all = [reportOf(id, 'stock'), reportOf(id, 'payment'), reportOf(other, 'payment')];
      for (const report of all) await log.report(report);
      return all;
    });
    await withLog(create, (log) => log.forget(reports[1]!.id, reports[1]!.branchId));
    assert.deepEqual(sorted((await claimOf(create)).reports), sorted([reports[0]!, reports[2]!]));
  },
  'audit entries exist after every start, the latest of very many, in order': async (create) => {
    const entries = Array.from({ length: AUDIT_KEPT + 3 }, (_, index) => auditOf(index + 1));
    await withLog(create, async (log) => {
      await Promise.all(entries.slice(0, 11).map(async (entry) => log.audit(entry)));
    });
    assert.deepEqual([...(await claimOf(create)).audits], entries.slice(0, 11));
    await withLog(create, async (log) => {
      await Promise.all(entries.slice(11).map(async (entry) => log.audit(entry)));
    });
    assert.deepEqual([...(await claimOf(create)).audits], entries.slice(-AUDIT_KEPT));
  },
  'the logs of two coordinators are independent': async (create) => {
    const [one, other] = [create(), create()];
    const [claim, otherClaim] = [await one.open('shop'), await other.open('shop-2')];
    assert.notEqual(claim.logId, otherClaim.logId);
    assert.equal(await other.isOwnRun(claim.epoch, claim.token), false);
    await append(one, idIn(claim, 1));
    assert.notEqual(await other.lookUp(idIn(claim, 1)), 'recorded');
    await one.close();
    await other.close();
    const again = create();
    assert.deepEqual([...(await openLog(again, 'shop-2')).decisions], []);
    await again.close();
  },
};

/** The cases for a log that only one process may write at a time. */
const SINGLE_CHECKS: Readonly<Record<string, Check>> = {
  'while it is open, a second opening is refused, or claims the log and fences the first': async (create) => {
    const [first, second] = [create(), create()];
    const id = idIn(await first.open(NAME), 1);
    const late = `${id}2`;
    await append(first, id);
    let claim: LogClaim;
    try {
      claim = await second.open(NAME);
    } catch {
      await append(first, late);
      await first.close();
      return;
    }
    assert.deepEqual(idsOf(claim), [id]);
    await assert.rejects(async () => append(first, late));
    assert.equal(await first.lookUp(late), 'fenced');
    assert.equal(await second.lookUp(late), 'absent');
    await second.close();
    await first.close();
  },
};

/**
 * What every decision log must do, as cases for any test runner: `for (const { name, run } of
 * decisionLogConformance(...)) it(name, run)`.
 *
 * @param newStorage makes an empty storage, one for each case.
 * @param durable whether the decisions outlive the log; `shared` for a log that several members write at the same time, as
 * `SharedDecisionLog` says. @default true
 * @publicApi
 */
export function decisionLogConformance(
  newStorage: () => DecisionLogStorage | Promise<DecisionLogStorage>,
  durable: boolean | 'shared' = true,
): readonly ConformanceCase[] {
  return Object.entries(checksOf(durable)).map(([name, check]) => ({
    name,
    run: async () => {
      const storage = await newStorage();
      try {
        await check(
          () => storage.createLog(),
          () => storage.backUp?.() ?? assert.fail('the storage of a shared log has no method backUp'),
        );
      } finally {
        await storage.remove?.();
      }
    },
  }));
}

function checksOf(durable: boolean | 'shared'): Readonly<Record<string, Check>> {
  if (durable === 'shared') return { ...CHECKS, ...DURABLE_CHECKS, ...SHARED_CHECKS };
  return durable ? { ...CHECKS, ...DURABLE_CHECKS, ...SINGLE_CHECKS } : CHECKS;
}

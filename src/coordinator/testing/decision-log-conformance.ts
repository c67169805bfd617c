import assert from 'node:assert/strict';
import { AUDIT_KEPT, type DecisionLog, type LogClaim } from '../log/decision-log.js';
import {
  type Check,
  NAME,
  auditOf,
  claimOf,
  idsOf,
  recordOf,
  reportOf,
  sorted,
  withLog,
} from './decision-log-fixtures.js';
import { DURABLE_IDENTITY_CHECKS, IDENTITY_CHECKS } from './decision-log-identity.js';

/** What the conformance suite needs to know of a log. @publicApi */
export interface DecisionLogStorage {
  /** @returns a log over this storage, not yet opened. Called several times, as a process is started several times. */
  createLog(): DecisionLog;
  /** Removes the storage. */
  remove?(): void | Promise<void>;
}

/** One thing that every log must do. @publicApi */
export interface ConformanceCase {
  readonly name: string;
  /** @returns a promise that rejects with an AssertionError when the log does not do it. */
  readonly run: () => Promise<void>;
}

/** What is asked of every log, also of one that forgets when it is closed. */
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
  'takes a decision, and many at once': async (create) => {
    await withLog(create, async (log) => {
      await append(log, 'shop.1.1');
      await Promise.all(Array.from({ length: 300 }, (_, index) => append(log, `shop.1.${index + 2}`)));
    });
  },
  'says that it can be written': (create) => withLog(create, (log) => log.check()),
  'takes the end of a decision, and a report, and forgets it': async (create) => {
    await withLog(create, async (log) => {
      await append(log, 'shop.1.1');
      await log.end('shop.1.1');
      await log.report(reportOf('shop.1.1'));
      await log.forget('shop.1.1');
    });
  },
};

/** What is asked of a log whose decisions outlive it. */
const DURABLE_CHECKS: Readonly<Record<string, Check>> = {
  ...DURABLE_IDENTITY_CHECKS,
  'a decision is there after the next start, with all its branches': async (create) => {
    await withLog(create, (log) => append(log, 'shop.1.1', { sku: 'tea', quantity: 2, note: null }));
    const { decisions } = await claimOf(create);
    assert.deepEqual([...decisions], [recordOf('shop.1.1', { sku: 'tea', quantity: 2, note: null })]);
  },
  'a decision is there though the log was never closed': async (create) => {
    const log = create();
    await log.open(NAME);
    for (let number = 1; number <= 20; number++) await append(log, `shop.1.${number}`);
    assert.equal(await log.lookUp('shop.1.20'), 'recorded');
    await log.close();
    assert.equal((await claimOf(create)).decisions.length, 20);
  },
  'the same decision twice is one': async (create) => {
    await withLog(create, async (log) => {
      await append(log, 'shop.1.1');
      await append(log, 'shop.1.1');
    });
    assert.deepEqual(idsOf(await claimOf(create)), ['shop.1.1']);
  },
  'what has progressed is there as it was last written, and an end is not undone by it': async (create) => {
    const progressed = recordOf('shop.1.1', null);
    const branches = progressed.branches.map((branch, index) => ({ ...branch, completed: index === 0 }));
    const record = { ...progressed, branches };
    await withLog(create, async (log) => {
      await append(log, 'shop.1.1');
      await log.progress({ id: record.id, toRecord: () => record });
      await append(log, 'shop.1.2');
      const writing = log.progress({ id: 'shop.1.2', toRecord: () => recordOf('shop.1.2', null) });
      await log.end('shop.1.2');
      await writing;
    });
    assert.deepEqual([...(await claimOf(create)).decisions], [record]);
  },
  'answers while decisions keep coming': async (create) => {
    await withLog(create, async (log) => {
      const most = 20_000;
      let left = most;
      const load = async (): Promise<void> => {
        while (left > 0) await append(log, `shop.1.${left--}`);
      };
      const loads = [load(), load(), load()];
      const answer = await log.lookUp('shop.2.1');
      const isUnderLoad = left > 0;
      left = 0;
      await Promise.all(loads);
      assert.equal(answer, 'absent');
      assert.ok(isUnderLoad, 'the answer came only when nothing was written any more');
    });
  },
  'forgets a report that is on its way': async (create) => {
    await withLog(create, async (log) => {
      const writing = log.report(reportOf('shop.1.1'));
      await log.forget('shop.1.1');
      await writing;
    });
    assert.deepEqual([...(await claimOf(create)).reports], []);
  },
  'what is ended is gone after the next start, and nothing else': async (create) => {
    await withLog(create, async (log) => {
      for (const id of ['shop.1.1', 'shop.1.10', 'shop.1.2']) await append(log, id);
      await log.end('shop.1.1');
    });
    assert.deepEqual(idsOf(await claimOf(create)), ['shop.1.10', 'shop.1.2']);
  },
  'what was ended by an earlier run is gone as well': async (create) => {
    await withLog(create, (log) => append(log, 'shop.1.1'));
    await withLog(create, (log) => log.end('shop.1.1'));
    assert.deepEqual(idsOf(await claimOf(create)), []);
  },
  'says of each id whether it is recorded': async (create) => {
    await withLog(create, async (log) => {
      await append(log, 'shop.1.1');
      assert.equal(await log.lookUp('shop.1.1'), 'recorded');
      assert.equal(await log.lookUp('shop.1.11'), 'absent');
      assert.equal(await log.lookUp('shop.1.'), 'absent');
    });
    await withLog(create, async (log) => assert.equal(await log.lookUp('shop.1.1'), 'recorded'));
  },
  'an answer of absence holds: a write under way is waited for': async (create) => {
    await withLog(create, async (log) => {
      const writing = append(log, 'shop.1.1');
      const answer = await log.lookUp('shop.1.1');
      await writing;
      assert.equal(answer, 'recorded');
    });
  },
  'a report is there after every start until it is forgotten': async (create) => {
    const reports = [reportOf('shop.1.1', 'stock'), reportOf('shop.1.1', 'payment'), reportOf('shop.1.10')];
    await withLog(create, async (log) => {
      for (const report of reports) await log.report(report);
    });
    for (let start = 0; start < 2; start++) {
      const claim = await claimOf(create);
      assert.deepEqual(sorted(claim.reports), sorted(reports));
    }
    await withLog(create, (log) => log.forget('shop.1.1'));
    assert.deepEqual([...(await claimOf(create)).reports], [reports[2]]);
  },
  'audit entries are there after every start, the latest of very many, in their order': async (create) => {
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
  'the logs of two coordinators have nothing to do with each other': async (create) => {
    const [one, other] = [create(), create()];
    const [claim, otherClaim] = [await one.open('shop'), await other.open('shop-2')];
    assert.notEqual(claim.logId, otherClaim.logId);
    assert.equal(await other.isOwnRun(claim.epoch, claim.token), false);
    await append(one, 'shop.1.1');
    assert.equal(await other.lookUp('shop.1.1'), 'absent');
    await one.close();
    await other.close();
    const again = create();
    assert.deepEqual([...(await again.open('shop-2')).decisions], []);
    await again.close();
  },
  'while it is open, another is refused, or claims it and shuts the first out': async (create) => {
    const [first, second] = [create(), create()];
    await first.open(NAME);
    await append(first, 'shop.1.1');
    let claim: LogClaim;
    try {
      claim = await second.open(NAME);
    } catch {
      await append(first, 'shop.1.2');
      await first.close();
      return;
    }
    assert.deepEqual(idsOf(claim), ['shop.1.1']);
    await assert.rejects(async () => append(first, 'shop.1.2'));
    assert.equal(await first.lookUp('shop.1.2'), 'fenced');
    assert.equal(await second.lookUp('shop.1.2'), 'absent');
    await second.close();
    await first.close();
  },
};

/**
 * What every decision log must do, as cases for whichever test runner: `for (const { name, run } of
 * decisionLogConformance(...)) it(name, run)`.
 *
 * @param newStorage makes an empty storage, one for each case.
 * @param durable whether the decisions outlive the log. @default true
 * @publicApi
 */
export function decisionLogConformance(
  newStorage: () => DecisionLogStorage | Promise<DecisionLogStorage>,
  durable = true,
): readonly ConformanceCase[] {
  return Object.entries(durable ? { ...CHECKS, ...DURABLE_CHECKS } : CHECKS).map(([name, check]) => ({
    name,
    run: async () => {
      const storage = await newStorage();
      try {
        await check(() => storage.createLog());
      } finally {
        await storage.remove?.();
      }
    },
  }));
}

async function append(log: DecisionLog, id: string, payload: unknown = 1): Promise<void> {
  await log.append({ id, toRecord: () => recordOf(id, payload) });
}

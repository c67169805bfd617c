import { describe, expect, it } from 'vitest';
import { recordOf } from '../../../src/coordinator/testing/decision-log-fixtures.js';
import { OwnEpoch } from '../../../src/postgres/log/epoch.js';
import { LogSession } from '../../../src/postgres/log/session.js';
import { WriteStatements } from '../../../src/postgres/log/writes.js';
import { LEASE, append, useLog } from './members.js';

const FENCED = { code: 'DTC_FENCED' };

const bench = useLog();

describe('A fence of the log on PostgreSQL', () => {
  it('fault 28: refuses an append that waits for the row while the fence is set', async () => {
    const member = await bench.start();
    await bench.client.query('BEGIN');
    await bench.client.query('UPDATE dtc_log.epochs SET fenced_by = 99 WHERE epoch = 1');
    const appended = append(member.log, member.id(1));
    appended.catch(() => {});
    await bench.waiting('Lock');
    await bench.client.query('COMMIT');

    await expect(appended).rejects.toMatchObject(FENCED);
    expect(await bench.recorded(member)).toEqual([]);
    expect(await member.log.lookUp(member.id(1))).toBe('absent');
  });

  it('fault 29: reads an append that had the row before the fence', async () => {
    const [owner, adopter] = [await bench.start(), await bench.start()];
    const [{ log } = { log: 0 }] = (await bench.client.query<{ log: number }>('SELECT log FROM dtc_log.logs'))
      .rows;
    // The append has locked the row of its epoch, and waits for this insert.
    await bench.client.query('BEGIN');
    await bench.client.query(`INSERT INTO dtc_log.decisions VALUES (${log}, ${owner.claim.epoch}, 1, 1, '')`);
    const appended = append(owner.log, owner.id(1));
    await bench.waiting('Lock');
    const adopted = adopter.log.members.adopt(owner.claim.epoch);
    await bench.client.query('ROLLBACK');

    await appended;
    expect(await adopted).toMatchObject({ runs: [{ decisions: [{ id: owner.id(1) }] }] });
  });

  it('is set only by a member that is not fenced itself at that moment', async () => {
    const [dead, member] = [await bench.start(), await bench.start()];
    await bench.client.query('BEGIN');
    await bench.client.query('UPDATE dtc_log.epochs SET fenced_by = 99 WHERE epoch = $1', [
      member.claim.epoch,
    ]);
    const adopted = member.log.members.adopt(dead.claim.epoch);
    adopted.catch(() => {});
    await bench.waiting('Lock');
    await bench.client.query('COMMIT');

    await expect(adopted).rejects.toMatchObject(FENCED);
    await append(dead.log, dead.id(1));
  });

  it('is followed by one new epoch, however often that is asked for at the same time', async () => {
    const [fenced, other] = [await bench.start(), await bench.start()];
    await other.log.members.adopt(fenced.claim.epoch);

    const claims = await Promise.all([fenced.log.members.restart(), fenced.log.members.restart()]);

    expect(new Set(claims.map(({ epoch }) => epoch)).size).toBe(1);
    const { rows } = await bench.client.query<{ last: string }>(
      'SELECT max(epoch)::text AS last FROM dtc_log.epochs',
    );
    expect(rows[0]!.last).toBe(String(claims[0].epoch));
  });

  it('is not suggested by the lock of a member that has not renewed its lease yet', async () => {
    const [other, member] = [await bench.start(), await bench.start()];
    const { epochs } = await other.log.members.renew(LEASE);
    expect(epochs.find(({ epoch }) => epoch === member.claim.epoch)).toMatchObject({ isLockHeld: true });
  });

  it('is not suggested by a lock that was not free at the first try: it is tried again', async () => {
    const other = await bench.start();
    await other.log.members.renew(LEASE);
    const lockOf = `SELECT classid::int AS class FROM pg_locks WHERE locktype = 'advisory' AND objid = 1`;
    const [row] = (await bench.client.query<{ class: number }>(lockOf)).rows;
    await bench.client.query('SELECT pg_advisory_lock($1, 2)', [row!.class]);
    const member = await bench.start();
    const isHeld = async (): Promise<boolean | undefined> => {
      const { epochs } = await other.log.members.renew(LEASE);
      return epochs.find(({ epoch }) => epoch === member.claim.epoch)?.isLockHeld;
    };
    await member.log.members.renew(LEASE);
    await bench.client.query('SELECT pg_advisory_unlock($1, 2)', [row!.class]);
    expect(await isHeld()).toBe(false);

    await member.log.members.renew(LEASE);
    expect(await isHeld()).toBe(true);
  });

  it('is not kept away by the lease of a run that has the same number and another token', async () => {
    const member = await bench.start();
    await bench.client.query(`UPDATE dtc_log.epochs SET token = 'of another run' WHERE epoch = $1`, [
      member.claim.epoch,
    ]);

    await expect(member.log.members.renew(LEASE)).rejects.toThrow('no longer has the lease of this member');
  });
});

describe('An incarnation of the log on PostgreSQL', () => {
  it('lets no statement of an earlier connection have an effect after absent', async () => {
    const { log, claim, id } = await bench.start();
    const member = { log, claim, id };
    await append(log, id(1));
    const { rows } = await bench.client.query<{ log: number; incarnation: string }>(
      'SELECT log, incarnation FROM dtc_log.epochs',
    );
    const own = new OwnEpoch('shop', rows[0]!.log, claim.logId, claim.epoch, claim.token);
    own.incarnation = Number(rows[0]!.incarnation);
    expect(await log.lookUp(id(2))).toBe('absent');

    const session = await LogSession.open({ connectionString: bench.database.url }, 5_000, 5_000);
    const late = { kind: 'append', sequence: 2, record: Buffer.from('late'), others: [] } as const;
    const statements = new WriteStatements('dtc_log');
    expect(await statements.append(session, own, [late], { ended: [], released: [] })).toBeUndefined();
    expect(await statements.other(session, own, { kind: 'check' })).toBeUndefined();
    await session.close();
    expect(await bench.recorded(member)).toEqual([1]);
    await append(log, id(3));
  });

  it('that is refused while the epoch is not fenced is taken again, and the decision is sent again', async () => {
    const member = await bench.start();
    await bench.client.query('UPDATE dtc_log.epochs SET incarnation = incarnation + 1');
    await append(member.log, member.id(1));
    expect(await bench.recorded(member)).toEqual([1]);
  });
});

describe('A timeline of the server of the log', () => {
  async function failOver(): Promise<void> {
    await bench.client.query(`UPDATE dtc_log.epochs SET taken_on = '00000000', checked_on = '00000000'`);
    await bench.endSessions();
  }

  it('that is new ends the epoch once its mark is checked, and another is taken', async () => {
    const [member, dead, other] = [await bench.start(), await bench.start(), await bench.start()];
    await append(member.log, member.id(1));
    await failOver();
    await expect(append(member.log, member.id(2))).rejects.toMatchObject(FENCED);
    expect((await member.log.members.renew(LEASE)).mustRestart).toBe('timeline');
    expect(await member.log.lookUp(member.id(2))).toBe('absent');
    const claim = await member.log.members.restart();
    // The server may have lost the last epochs, and no number is given out twice.
    expect(claim.epoch).toBe(104);
    expect((await other.log.members.restart()).epoch).toBe(105);
    expect((await member.log.members.renew(LEASE)).mustRestart).toBeNull();
    expect(await member.log.members.runs([1, 2])).toMatchObject([
      { isFenced: true, isPresumable: true },
      { isFenced: false, isPresumable: false },
    ]);
    expect(await member.log.members.adopt(dead.claim.epoch)).toMatchObject({
      runs: [{ run: { durable: false } }],
    });
    expect(await member.log.outcomeOf(dead.id(1))).toEqual({ outcome: 'unknown', because: 'undecidable' });
  });

  it('that is new changes nothing where only synchronous standbys take over', async () => {
    const member = await bench.start({ synchronousStandbys: true });
    await failOver();
    await append(member.log, member.id(1));
    expect((await member.log.members.renew(LEASE)).mustRestart).toBeNull();
  });

  it('on which an epoch itself is missing stops its member', async () => {
    const member = await bench.start();
    await member.log.members.renew(LEASE);
    await bench.client.query('DELETE FROM dtc_log.epochs');
    await bench.endSessions();
    const behind = { code: 'DTC_LOG_BEHIND', found: 0 };
    await expect(append(member.log, member.id(1))).rejects.toMatchObject(behind);
    await expect(member.log.members.renew(LEASE)).rejects.toMatchObject(behind);
    await expect(member.log.members.restart()).rejects.toMatchObject(behind);
  });

  it('on which acknowledged decisions are missing stops the member', async () => {
    const member = await bench.start();
    for (const sequence of [1, 2]) await append(member.log, member.id(sequence));
    await bench.client.query('UPDATE dtc_log.epochs SET high_water = 1');
    await failOver();
    const behind = { code: 'DTC_LOG_BEHIND', acknowledged: 2, found: 1 };
    await expect(append(member.log, member.id(3))).rejects.toMatchObject(behind);
    await expect(member.log.check()).rejects.toMatchObject(behind);
    await expect(member.log.members.restart()).rejects.toMatchObject(behind);
    expect(await bench.recorded(member)).toEqual([1, 2]);
  });

  it('on which a record is missing that was promised stops the member, and one that only adds acknowledgements does not', async () => {
    const member = await bench.start();
    await append(member.log, member.id(1));
    const record = recordOf(member.id(1), 'moved');
    const progress = (isPromised?: boolean): void | Promise<void> =>
      member.log.progress({ id: record.id, toRecord: () => record }, isPromised);
    await progress();
    await bench.client.query('UPDATE dtc_log.epochs SET high_water = 1');
    await bench.endSessions();
    await append(member.log, member.id(2));

    await progress(true);
    await bench.client.query('UPDATE dtc_log.epochs SET high_water = 2');
    await failOver();
    const behind = { code: 'DTC_LOG_BEHIND', acknowledged: 3, found: 2 };
    await expect(append(member.log, member.id(3))).rejects.toMatchObject(behind);
  });
});

describe('A format of the log on PostgreSQL', () => {
  it('is raised when every epoch that can write reads it, and never while another one is taken', async () => {
    const [member, old] = [await bench.start(), await bench.start()];
    await bench.client.query('UPDATE dtc_log.epochs SET last_format = 2 WHERE epoch = 1');
    expect(await member.log.members.raiseFormat(2)).toBe(1);
    await member.log.members.adopt(old.claim.epoch);

    await bench.client.query('BEGIN');
    await bench.client.query('UPDATE dtc_log.logs SET last_epoch = 3');
    const raised = member.log.members.raiseFormat(2);
    await bench.waiting('Lock');
    await bench.client.query(
      `INSERT INTO dtc_log.epochs SELECT log, 3, 'of an old version', 1, 0, 0, taken_on, checked_on, 1, 1, NULL, NULL, false
       FROM dtc_log.epochs WHERE epoch = 1`,
    );
    await bench.client.query('COMMIT');
    expect(await raised).toBe(1);

    await bench.client.query('UPDATE dtc_log.epochs SET fenced_by = 1 WHERE epoch = 3');
    expect(await member.log.members.raiseFormat(2)).toBe(2);
    await expect(bench.start()).rejects.toMatchObject({ code: 'DTC_LOG_FORMAT' });
  });
});

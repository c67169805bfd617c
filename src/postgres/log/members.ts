import type {
  Adoption,
  AdoptedRun,
  MemberEpoch,
  MemberLease,
  Renewal,
} from '../../coordinator/log/shared-log.js';
import { type OwnEpoch, countedEpoch, currentEpoch } from './epoch.js';
import { type ReadStatements, numberOrNull } from './reads.js';
import { type LogSession, UnknownResultError } from './session.js';
import { TIMELINE } from './tables.js';

type Row = Record<string, string | null>;

/** The sessions that hold the lock of their member. */
const holders = new WeakSet<LogSession>();

/** The statements about members and their epochs. */
export class MemberStatements {
  constructor(
    private readonly schema: string,
    private readonly reads: ReadStatements,
    private readonly synchronousStandbys: boolean,
  ) {}

  /**
   * Takes the lock of the member, unless the session has it. When the process is gone, the lock is free, and
   * the others see that.
   */
  async lock(session: LogSession, { logId, epoch }: OwnEpoch): Promise<void> {
    if (holders.has(session)) return;
    const [row] = await session.query<Row>(`SELECT pg_catalog.pg_try_advisory_lock($1, $2)::text AS taken`, [
      lockClassOf(logId),
      epoch,
    ]);
    if (row?.['taken'] === 'true') holders.add(session);
  }

  /**
   * Renews the lease and reads the leases of the others, in one statement. It first tries again to take a
   * lock that was not free: an earlier session of this process holds the lock until the server has noticed
   * that its connection is lost.
   */
  async renew(session: LogSession, own: OwnEpoch, lease: MemberLease): Promise<Renewal> {
    const { schema } = this;
    await this.lock(session, own);
    const rows = await session.query<Row>(
      `WITH lease AS (
         UPDATE ${schema}.members SET member = $3, address = $4, draining = $5, renewed_at = clock_timestamp()
         WHERE log = $1 AND epoch = $2
           AND EXISTS (SELECT FROM ${schema}.epochs WHERE log = $1 AND epoch = $2 AND token = $7) RETURNING 1),
       now AS (SELECT clock_timestamp() AS at, ${TIMELINE} AS timeline)
       SELECT epochs.epoch::text, epochs.token, epochs.first_format::text, epochs.last_format::text,
         members.member, members.address, members.draining::text, epochs.fenced_by::text, epochs.adopted_by::text,
         (1000 * extract(epoch FROM now.at - members.renewed_at))::text AS age,
         (1000 * extract(epoch FROM now.at - pg_catalog.pg_postmaster_start_time()))::text AS uptime,
         (${this.reads.isPresumable})::text AS presumable, (epochs.taken_on <> now.timeline)::text AS moved,
         (SELECT format::text FROM ${schema}.logs WHERE log = $1) AS format,
         EXISTS (SELECT FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND classid = $6::int::oid
           AND objid = epochs.epoch::oid AND objsubid = 2 AND granted AND database =
             (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))::text AS locked
       FROM ${schema}.epochs AS epochs JOIN ${schema}.members AS members USING (log, epoch), now, lease
       WHERE epochs.log = $1 AND (NOT epochs.settled OR epochs.epoch = $2) ORDER BY epochs.epoch`,
      [own.log, own.epoch, lease.member, lease.address, lease.draining, lockClassOf(own.logId), own.token],
    );
    const self = rows.find(({ epoch }) => epoch === String(own.epoch));
    if (self === undefined) throw new Error('The decision log no longer has the lease of this member.');
    const isMoved = self['moved'] === 'true' && !this.synchronousStandbys;
    return {
      mustRestart: isMoved ? 'timeline' : self['fenced_by'] === null ? null : 'fenced',
      serverUptimeMs: Number(self['uptime']),
      format: Number(self['format']),
      epochs: rows.map((row) => (row === self ? Object.assign(seen(row), lease, { ageMs: 0 }) : seen(row))),
    };
  }

  /**
   * Fences an epoch and adopts it, with all epochs that it had adopted. It locks the rows of both members in
   * the order of their epochs, so that only one of two members that adopt each other succeeds.
   *
   * @returns the adopted epochs; `taken` when another member has adopted them; undefined when this member is
   * fenced or has another incarnation.
   */
  async fence(session: LogSession, own: OwnEpoch, epoch: number): Promise<number[] | 'taken' | undefined> {
    const { schema } = this;
    const taken = await session.transaction(async () => {
      const rows = await session.query<Row>(
        `SELECT epoch::text, incarnation::text, fenced_by::text, adopted_by::text FROM ${schema}.epochs
         WHERE log = $1 AND epoch IN ($2, $3) ORDER BY epochs.epoch FOR UPDATE`,
        [own.log, own.epoch, epoch],
      );
      const me = rows.find((row) => row['epoch'] === String(own.epoch));
      const target = rows.find((row) => row['epoch'] === String(epoch));
      if (me?.['fenced_by'] !== null || me['incarnation'] !== String(own.incarnation)) return undefined;
      if (target === undefined) throw neverGivenOut(epoch);
      const adoptedBy = numberOrNull(target['adopted_by']);
      if (adoptedBy !== null && adoptedBy !== own.epoch) {
        const [adopter] = await session.query<Row>(
          `SELECT fenced_by::text FROM ${schema}.epochs WHERE log = $1 AND epoch = $2`,
          [own.log, adoptedBy],
        );
        if (adopter?.['fenced_by'] === null) return 'taken';
      }
      const which = adoptedBy === own.epoch ? 'adopted_by = $2' : '(epoch = $4 OR adopted_by = $4)';
      return session.query<Row>(
        `WITH me AS (${countedEpoch(schema)})
         UPDATE ${schema}.epochs AS epochs SET fenced_by = coalesce(fenced_by, $2), adopted_by = $2 FROM me
         WHERE log = $1 AND $4::int IS NOT NULL AND ${which} RETURNING epoch::text, me.high_water::text AS mark`,
        [own.log, own.epoch, own.incarnation, epoch],
      );
    });
    if (!Array.isArray(taken)) return taken;
    // Only here the fence is known to be committed.
    for (const { mark } of taken) own.hasMark(Number(mark));
    return taken.map((row) => Number(row['epoch'])).toSorted((a, b) => a - b);
  }

  /**
   * Reads the records of fenced epochs. They count only after {@link freeKeys}. This connection is not the
   * one that has fenced, so it may lead to another server: one that was replaced, or a standby that is
   * behind. A server that has the fence also has every record that was written before it.
   *
   * @throws UnknownResultError when the fence cannot be read. The connection is then given up, and the next
   * attempt opens a new one.
   */
  async read(
    session: LogSession,
    own: OwnEpoch,
    fenced: number,
    epochs: readonly number[],
  ): Promise<Adoption> {
    const fences = await this.reads.runs(session, own.log, epochs);
    if (fences.length !== epochs.length || fences.some(({ adoptedBy }) => adoptedBy !== own.epoch)) {
      session.giveUp();
      throw new UnknownResultError(
        `the server that is asked for the records of epoch ${fenced} does not know that it is fenced. Where the address of the ` +
          'log leads to several servers, let it lead to the primary alone',
      );
    }
    const runs: AdoptedRun[] = [];
    for (const known of fences) {
      const { epoch, token, isPresumable } = known;
      const run = { name: own.coordinator, logId: own.logId, epoch, token, durable: isPresumable };
      const reports = await this.reads.reportsOf(session, own.log, epoch);
      if (known.isSettled && epoch !== fenced && reports.length === 0) continue;
      runs.push({ run, decisions: await this.reads.decisionsOf(session, own.log, epoch), reports });
    }
    return { runs };
  }

  /**
   * Frees the keys of transactions without a record, in those adopted epochs for which abort may be presumed.
   * This write also proves that the records that were read are replicated.
   *
   * @returns undefined when it was refused.
   */
  async freeKeys(session: LogSession, own: OwnEpoch, { runs }: Adoption): Promise<true | undefined> {
    const presumable = runs.flatMap(({ run }) => (run.durable ? [run.epoch] : []));
    const [row] = await session.query<Row>(
      `WITH me AS (${currentEpoch(this.schema)}),
       freed AS (
         DELETE FROM ${this.schema}.request_keys AS keys USING me WHERE keys.log = $1 AND keys.epoch = ANY($4::int[])
           AND NOT EXISTS (SELECT FROM ${this.schema}.decisions AS decisions
             WHERE decisions.log = $1 AND decisions.epoch = keys.epoch AND decisions.sequence = keys.sequence)
           AND NOT EXISTS (SELECT FROM ${this.schema}.outcomes AS outcomes
             WHERE outcomes.log = $1 AND outcomes.epoch = keys.epoch AND outcomes.sequence = keys.sequence))
       SELECT count(*)::text AS count FROM me`,
      [own.log, own.epoch, own.incarnation, presumable],
    );
    return row?.['count'] === '1' ? true : undefined;
  }

  /** @returns whether an adopted epoch had no open transaction; undefined when the statement was refused. */
  async settle(session: LogSession, own: OwnEpoch, epoch: number): Promise<boolean | undefined> {
    const [row] = await session.query<Row>(
      `WITH me AS (${currentEpoch(this.schema)}),
       settled AS (
         UPDATE ${this.schema}.epochs AS epochs SET settled = true FROM me
         WHERE epochs.log = $1 AND epochs.epoch = $4 AND epochs.adopted_by = $2
           AND NOT EXISTS (SELECT FROM ${this.schema}.decisions AS decisions WHERE decisions.log = $1 AND decisions.epoch = $4)
         RETURNING 1)
       SELECT (SELECT count(*) FROM me)::text AS me, (SELECT count(*) FROM settled)::text AS settled`,
      [own.log, own.epoch, own.incarnation, epoch],
    );
    return row?.['me'] === '1' ? row['settled'] === '1' : undefined;
  }

  /** Ends the epoch of this member. Another member may have fenced it before. */
  async end(session: LogSession, own: OwnEpoch): Promise<void> {
    await session.query(
      `UPDATE ${this.schema}.epochs SET fenced_by = coalesce(fenced_by, epoch) WHERE log = $1 AND epoch = $2`,
      [own.log, own.epoch],
    );
  }

  /**
   * Raises the format, if every epoch that can write can read the new one. The row of the log is locked, so
   * no epoch is taken meanwhile.
   */
  raiseFormat(session: LogSession, own: OwnEpoch, format: number): Promise<number | undefined> {
    const { schema } = this;
    return session.transaction(async () => {
      const [log] = await session.query<Row>(
        `SELECT format::text FROM ${schema}.logs WHERE log = $1 FOR UPDATE`,
        [own.log],
      );
      const [row] = await session.query<Row>(
        `WITH me AS (${currentEpoch(schema)}),
         raised AS (
           UPDATE ${schema}.logs SET format = $4 FROM me WHERE log = $1 AND format < $4 AND NOT EXISTS (
             SELECT FROM ${schema}.epochs WHERE log = $1 AND fenced_by IS NULL AND NOT $4 BETWEEN first_format AND last_format)
           RETURNING 1)
         SELECT (SELECT count(*) FROM me)::text AS me, (SELECT count(*) FROM raised)::text AS raised`,
        [own.log, own.epoch, own.incarnation, format],
      );
      if (row?.['me'] !== '1') return undefined;
      return row['raised'] === '1' ? format : Number(log?.['format']);
    });
  }
}

export function neverGivenOut(epoch: number): RangeError {
  return new RangeError(`Epoch ${epoch} is the one of this member, or the log has never given it out.`);
}

function seen(row: Row): MemberEpoch {
  return {
    epoch: Number(row['epoch']),
    token: row['token']!,
    member: row['member']!,
    address: row['address'] ?? null,
    draining: row['draining'] === 'true',
    formats: { first: Number(row['first_format']), last: Number(row['last_format']) },
    ageMs: Number(row['age']),
    isLockHeld: row['locked'] === 'true',
    isFenced: row['fenced_by'] !== null,
    adoptedBy: numberOrNull(row['adopted_by']),
    isPresumable: row['presumable'] === 'true',
  };
}

/**
 * @returns the first of the two numbers of the lock. If another program uses the same number, an adoption
 * only takes longer.
 */
function lockClassOf(logId: string): number {
  return Number.parseInt(logId.slice(0, 5), 36);
}

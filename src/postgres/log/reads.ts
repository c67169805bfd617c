import type { CommitRecord, HeuristicRecord } from '../../coordinator/log/decision-log.js';
import type {
  KnownRun,
  LoggedOutcome,
  LoggedRegistration,
  SharedAuditEntry,
} from '../../coordinator/log/shared-log.js';
import { AUDIT_KEPT } from '../../coordinator/log/decision-log.js';
import { BEHIND } from './epoch.js';
import { REPLICATED_WRITE } from '../connection/replication.js';
import type { TextRow } from '../connection/own-queries.js';
import { type Place, decodeAudit, decodeCommit, decodeReport } from './records.js';
import type { LogSession } from './session.js';
import { TIMELINE } from './tables.js';

/** The most records that one statement reads. */
const PAGE = 1_000;
/** A statement stops after the record with which it has read this many bytes. */
const PAGE_BYTES = 4 * 1024 * 1024;

type Row = Record<string, string | null>;

/** The statements of the log that read. */
export class ReadStatements {
  constructor(
    private readonly schema: string,
    private readonly synchronousStandbys: boolean,
  ) {}

  /**
   * The SQL condition on a row of the epochs under which no record means abort. It is never true of an epoch
   * of which the log is known to have lost records.
   */
  get isPresumable(): string {
    return this.synchronousStandbys ? `checked_on <> '${BEHIND}'` : `checked_on = ${TIMELINE}`;
  }

  /**
   * A row that can be read may not be replicated yet. When a later write has waited for the standbys,
   * everything that was read before it is replicated too.
   */
  async believed<T>(session: LogSession, read: () => Promise<T>): Promise<T> {
    const result = await read();
    await session.query(REPLICATED_WRITE);
    return result;
  }

  async outcomeOf(session: LogSession, log: number, place: Place | undefined): Promise<LoggedOutcome> {
    if (place === undefined) return { outcome: 'unknown', because: 'foreign' };
    const { schema } = this;
    const [row] = await session.query<Row>(
      `SELECT epochs.fenced_by::text, epochs.purged::text, (${this.isPresumable})::text AS presumable,
         coalesce(epochs.adopted_by, epochs.epoch)::text AS owner, members.address, decisions.format::text,
         decisions.record::text, outcomes.sequence::text AS ended
       FROM ${schema}.epochs AS epochs
       LEFT JOIN ${schema}.members AS members ON members.log = epochs.log AND members.epoch = coalesce(epochs.adopted_by, epochs.epoch)
       LEFT JOIN ${schema}.decisions AS decisions
         ON decisions.log = epochs.log AND decisions.epoch = epochs.epoch AND decisions.sequence = $3
       LEFT JOIN ${schema}.outcomes AS outcomes
         ON outcomes.log = epochs.log AND outcomes.epoch = epochs.epoch AND outcomes.sequence = $3
       WHERE epochs.log = $1 AND epochs.epoch = $2`,
      [log, place.epoch, place.sequence],
    );
    if (row === undefined) return { outcome: 'unknown', because: 'foreign' };
    const isPurged = place.sequence <= Number(row['purged']);
    const live = {
      outcome: 'live',
      owner: Number(row['owner']),
      address: row['address'] ?? null,
      isPurged,
      isRecorded: row['record'] !== null,
    } as const;
    if (row['ended'] !== null) return { outcome: 'committed', record: null };
    if (row['record'] !== null) {
      const record = decodeCommit(nameOf(place), stored(row));
      return record.decider.kind === 'branch' ? live : { outcome: 'committed', record };
    }
    if (row['fenced_by'] === null) return live;
    if (isPurged) return { outcome: 'unknown', because: 'purged' };
    return row['presumable'] === 'true'
      ? { outcome: 'aborted' }
      : { outcome: 'unknown', because: 'undecidable' };
  }

  /** @returns the transactions with a record or an outcome, in those epochs about which a member may ask. */
  async recorded(
    session: LogSession,
    log: number,
    ownEpochs: readonly number[],
    epoch: number,
    places: readonly Place[],
  ): Promise<readonly ('recorded' | 'absent' | 'fenced')[]> {
    const { schema } = this;
    const rows = await session.query<Row>(
      `SELECT (EXISTS (SELECT FROM ${schema}.decisions WHERE log = $1 AND epoch = given.epoch AND sequence = given.sequence)
         OR EXISTS (SELECT FROM ${schema}.outcomes WHERE log = $1 AND epoch = given.epoch AND sequence = given.sequence))::text AS found,
         EXISTS (SELECT FROM ${schema}.epochs WHERE log = $1 AND epoch = given.epoch AND (epoch = ANY($5::int[]) OR adopted_by = $2))::text AS owned
       FROM unnest($3::int[], $4::bigint[]) WITH ORDINALITY AS given (epoch, sequence, nr) ORDER BY nr`,
      [log, epoch, places.map((place) => place.epoch), places.map(({ sequence }) => sequence), ownEpochs],
    );
    return rows.map(({ found, owned }) => {
      if (owned !== 'true') return 'fenced';
      return found === 'true' ? 'recorded' : 'absent';
    });
  }

  /**
   * All records of an epoch whose transactions are open, in pages: large records must not make a statement
   * late.
   */
  async decisionsOf(session: LogSession, log: number, epoch: number): Promise<CommitRecord[]> {
    const found: CommitRecord[] = [];
    for (let after = 0; ;) {
      const rows = await session.query<Row>(
        `WITH page AS (
           SELECT sequence, format, record, sum(octet_length(record)) OVER (ORDER BY sequence) - octet_length(record) AS before
           FROM (SELECT * FROM ${this.schema}.decisions WHERE log = $1 AND epoch = $2 AND sequence > $3
             ORDER BY decisions.sequence LIMIT ${PAGE}) AS decisions)
         SELECT sequence::text, format::text, record::text FROM page WHERE before < ${PAGE_BYTES} ORDER BY page.sequence`,
        [log, epoch, after],
      );
      if (rows.length === 0) return found;
      for (const row of rows) {
        after = Number(row['sequence']);
        found.push(decodeCommit(nameOf({ epoch, sequence: after }), stored(row)));
      }
    }
  }

  /** @param epoch leave it out for the reports of all epochs. */
  async reportsOf(session: LogSession, log: number, epoch?: number): Promise<HeuristicRecord[]> {
    const rows = await session.query<Row>(
      `SELECT epoch::text, sequence::text, format::text, record::text FROM ${this.schema}.reports
       WHERE log = $1 AND ($2::int IS NULL OR epoch = $2) ORDER BY reports.epoch, reports.sequence, reports.branch`,
      [log, epoch ?? null],
    );
    return rows.map((row) => {
      const place = { epoch: Number(row['epoch']), sequence: Number(row['sequence']) };
      return decodeReport(`a report of ${nameOf(place)}`, stored(row));
    });
  }

  async audits(session: LogSession, log: number): Promise<SharedAuditEntry[]> {
    const rows = await session.query<Row>(
      `SELECT place::text, epoch::text, format::text, record::text FROM ${this.schema}.audits
       WHERE log = $1 ORDER BY audits.place DESC LIMIT ${AUDIT_KEPT}`,
      [log],
    );
    return rows.toReversed().map((row) => {
      const entry = decodeAudit(`audit entry ${row['place']}`, stored(row));
      return Object.assign(entry, { epoch: Number(row['epoch']) });
    });
  }

  async runs(session: LogSession, log: number, epochs: readonly number[]): Promise<KnownRun[]> {
    const rows = await session.query<Row>(
      `SELECT epoch::text, token, fenced_by::text, adopted_by::text, settled::text, (${this.isPresumable})::text AS presumable
       FROM ${this.schema}.epochs WHERE log = $1 AND epoch = ANY($2::int[]) ORDER BY epochs.epoch`,
      [log, epochs],
    );
    return rows.map((row) => ({
      epoch: Number(row['epoch']),
      token: row['token']!,
      isFenced: row['fenced_by'] !== null,
      isSettled: row['settled'] === 'true',
      isPresumable: row['presumable'] === 'true',
      adoptedBy: numberOrNull(row['adopted_by']),
    }));
  }

  async registrations(session: LogSession, log: number): Promise<LoggedRegistration[]> {
    const rows = await session.query<Row>(
      `SELECT name, address, details, revision::text, removed::text FROM ${this.schema}.registrations
       WHERE log = $1 ORDER BY registrations.revision`,
      [log],
    );
    return rows.map((row) => ({
      name: row['name']!,
      address: row['address']!,
      details: JSON.parse(row['details']!) as unknown,
      revision: Number(row['revision']),
      isRemoved: row['removed'] === 'true',
    }));
  }

  async isOwnRun(session: LogSession, log: number, epoch: number, token: string): Promise<boolean> {
    const rows = await session.query<TextRow>(
      `SELECT FROM ${this.schema}.epochs WHERE log = $1 AND epoch = $2::bigint AND token = $3`,
      [log, epoch, token],
    );
    return rows.length === 1;
  }
}

function stored(row: Row): { readonly format: string; readonly record: string } {
  return { format: row['format']!, record: row['record']! };
}

function nameOf({ epoch, sequence }: Place): string {
  return `transaction ${sequence} of epoch ${epoch}`;
}

export function numberOrNull(text: string | null | undefined): number | null {
  return text === null || text === undefined ? null : Number(text);
}

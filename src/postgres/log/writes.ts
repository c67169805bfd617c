import type { LogSession } from './session.js';
import { type OwnEpoch, countedEpoch, currentEpoch } from './epoch.js';
import type { Place } from './records.js';

/** A decision to record, or an outcome that needs no record. */
export interface AppendWrite {
  readonly kind: 'append';
  readonly sequence: number;
  readonly record: Buffer | null;
  /** The numbers of the other transactions that the same record commits. */
  readonly others: readonly number[];
}

export type OtherWrite =
  | { readonly kind: 'progress' | 'replaced'; readonly place: Place; readonly record: Buffer }
  | { readonly kind: 'refused'; readonly place: Place }
  | { readonly kind: 'report'; readonly place: Place; readonly branch: string; readonly record: Buffer }
  /** `branch`: of the only report that is forgotten; null for all. */
  | { readonly kind: 'forget'; readonly place: Place; readonly branch: string | null }
  | { readonly kind: 'audit'; readonly records: readonly Buffer[] }
  | { readonly kind: 'check' };

export type Write = AppendWrite | OtherWrite;

/** A note, which is written with the next decision, and kept in memory until then. */
export interface Notes {
  readonly ended: readonly Place[];
  readonly released: readonly Place[];
}

/** How many audit entries are kept. */
const AUDITS_KEPT = 1_000;

/** These writes add no record. A log that has lost one of them only does some work once more. */
const NOT_COUNTED: ReadonlySet<OtherWrite['kind']> = new Set(['progress', 'refused', 'forget', 'check']);

/**
 * The statements of the log that write. Each has an effect only for the present epoch and incarnation of its writer. It returns
 * the mark of the epoch, or undefined when it had no effect.
 */
export class WriteStatements {
  /** The names under which the server keeps the statements, by their texts: one name for each combination of parts. */
  private readonly names = new Map<string, string>();

  constructor(private readonly schema: string) {}

  /**
   * Records decisions and outcomes, deletes the records of transactions that have ended, and raises the mark of the epoch, all in
   * one statement.
   *
   * @param mayBeThere whether one of them may have been recorded before. This check costs the server time for each.
   * @returns undefined when it had no effect, because the epoch is fenced or has another incarnation.
   */
  async append(
    session: LogSession,
    own: OwnEpoch,
    appends: readonly AppendWrite[],
    { ended, released }: Notes,
    mayBeThere = true,
  ): Promise<number | undefined> {
    const { schema } = this;
    const records = appends.filter(({ record }) => record !== null);
    const outcomes = appends.flatMap(({ sequence, record, others }) =>
      record === null ? [sequence, ...others] : others,
    );
    const values: unknown[] = [own.log, own.epoch, own.incarnation];
    const parts = [`WITH me AS (${appends.length > 0 ? countedEpoch(schema) : currentEpoch(schema)})`];
    if (records.length > 0) {
      values.push(
        records.map(({ sequence }) => sequence),
        records.map(({ record }) => record),
      );
      parts.push(`records AS (
        INSERT INTO ${schema}.decisions (log, epoch, sequence, format, record)
        SELECT $1, $2, sequence, ${own.format}, record
        FROM me, unnest($${values.length - 1}::bigint[], $${values.length}::bytea[]) AS given (sequence, record)
        ${mayBeThere ? 'ON CONFLICT DO NOTHING' : ''})`);
    }
    if (outcomes.length > 0) {
      values.push(outcomes);
      parts.push(`outcomes AS (
        INSERT INTO ${schema}.outcomes (log, epoch, sequence, ended_at)
        SELECT $1, $2, sequence, clock_timestamp() FROM me, unnest($${values.length}::bigint[]) AS given (sequence)
        ON CONFLICT DO NOTHING)`);
    }
    if (ended.length > 0) {
      parts.push(`gone AS (
        DELETE FROM ${schema}.decisions AS decisions USING me, ${given(values, ended)}
        WHERE decisions.log = $1 AND decisions.epoch = given.epoch AND decisions.sequence = given.sequence AND ${this.isOwned('given')}
        RETURNING decisions.epoch, decisions.sequence),
      kept AS (
        INSERT INTO ${schema}.outcomes (log, epoch, sequence, ended_at)
        SELECT $1, epoch, sequence, clock_timestamp() FROM gone ON CONFLICT DO NOTHING)`);
    }
    if (released.length > 0) {
      parts.push(`released AS (
        DELETE FROM ${schema}.request_keys AS keys USING me, ${given(values, released)}
        WHERE keys.log = $1 AND keys.epoch = given.epoch AND keys.sequence = given.sequence AND ${this.isOwned('given')})`);
    }
    const text = `${parts.join(', ')} SELECT high_water::text AS mark FROM me`;
    return markOf(await session.query(text, values, this.nameOf(text)));
  }

  private nameOf(text: string): string {
    let name = this.names.get(text);
    if (name === undefined) {
      name = `dtc_append_${this.names.size + 1}`;
      this.names.set(text, name);
    }
    return name;
  }

  /**
   * Makes any other write.
   *
   * @returns as {@link append} does.
   */
  async other(session: LogSession, own: OwnEpoch, write: OtherWrite): Promise<number | undefined> {
    const [effect, values] = this.effectOf(write, own.format);
    const me = NOT_COUNTED.has(write.kind) ? currentEpoch(this.schema) : countedEpoch(this.schema);
    const sql = `WITH me AS (${me})${effect} SELECT high_water::text AS mark FROM me`;
    return markOf(await session.query(sql, [own.log, own.epoch, own.incarnation, ...values]));
  }

  private effectOf(write: OtherWrite, format: number): readonly [string, readonly unknown[]] {
    const { schema } = this;
    switch (write.kind) {
      case 'progress':
      case 'replaced': {
        const { place, record } = write;
        return [
          `, effect AS (UPDATE ${schema}.decisions AS decisions SET record = $6, format = ${format} FROM me
            WHERE decisions.log = $1 AND decisions.epoch = $4 AND decisions.sequence = $5 AND ${this.isOwned('decisions')})`,
          [place.epoch, place.sequence, record],
        ];
      }
      case 'refused':
        return [
          `, effect AS (DELETE FROM ${schema}.decisions AS decisions USING me
            WHERE decisions.log = $1 AND decisions.epoch = $4 AND decisions.sequence = $5 AND ${this.isOwned('decisions')}
            RETURNING decisions.epoch, decisions.sequence),
          keys AS (DELETE FROM ${schema}.request_keys AS keys USING effect
            WHERE keys.log = $1 AND keys.epoch = effect.epoch AND keys.sequence = effect.sequence)`,
          [write.place.epoch, write.place.sequence],
        ];
      case 'report': {
        const { place, branch, record } = write;
        return [
          `, effect AS (INSERT INTO ${schema}.reports (log, epoch, sequence, branch, format, record)
            SELECT $1, $4, $5, $6, ${format}, $7 FROM me
            ON CONFLICT (log, epoch, sequence, branch) DO UPDATE SET format = excluded.format, record = excluded.record)`,
          [place.epoch, place.sequence, branch, record],
        ];
      }
      case 'forget':
        return [
          `, effect AS (DELETE FROM ${schema}.reports AS reports USING me
            WHERE reports.log = $1 AND reports.epoch = $4 AND reports.sequence = $5
              AND ($6::text IS NULL OR reports.branch = $6)
              AND (${this.isOwned('reports')} OR EXISTS (SELECT FROM ${schema}.epochs AS past
                WHERE past.log = $1 AND past.epoch = $4 AND past.settled)))`,
          [write.place.epoch, write.place.sequence, write.branch],
        ];
      case 'audit':
        return [
          `, effect AS (INSERT INTO ${schema}.audits (log, epoch, format, record) 
            SELECT $1, $2, ${format}, record FROM me, unnest($4::bytea[]) WITH ORDINALITY AS given (record, nr) ORDER BY nr),
          old AS (DELETE FROM ${schema}.audits AS audits USING me WHERE audits.log = $1 AND audits.place <= (
            SELECT place FROM ${schema}.audits WHERE log = $1 ORDER BY place DESC OFFSET ${AUDITS_KEPT} LIMIT 1))`,
          [write.records],
        ];
      case 'check':
        return ['', []];
    }
  }

  /** Whether the writer may change records of an epoch: its own, or one that it has adopted. */
  private isOwned(row: string): string {
    return `(${row}.epoch = $2 OR EXISTS (SELECT FROM ${this.schema}.epochs AS owned
      WHERE owned.log = $1 AND owned.epoch = ${row}.epoch AND owned.adopted_by = $2))`;
  }
}

function given(values: unknown[], places: readonly Place[]): string {
  values.push(
    places.map(({ epoch }) => epoch),
    places.map(({ sequence }) => sequence),
  );
  return `unnest($${values.length - 1}::int[], $${values.length}::bigint[]) AS given (epoch, sequence)`;
}

/** @returns the mark that a statement has returned; undefined when the statement had no effect. */
export function markOf([row]: readonly { readonly mark?: string | null }[]): number | undefined {
  return row === undefined ? undefined : Number(row.mark);
}

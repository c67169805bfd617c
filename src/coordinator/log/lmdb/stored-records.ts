import type { RootDatabase } from 'lmdb';
import { z } from 'zod';
import type { CommitRecord, HeuristicRecord } from '../decision-log.js';
import { DamagedLogError } from '../log-errors.js';
import { decodeRecord } from './record-format.js';

/** What the keys begin with: the commit records, and the heuristic reports. */
export const COMMITS = 'commit/';
export const REPORTS = 'report/';
/** The epoch of the latest claim. */
export const EPOCH = 'epoch';
/** Is written to find out whether something can be. */
export const CHECK = 'check';
/** The character after the slash: where the keys of one kind end. */
const END = '0';

const commitSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  branches: z.array(
    z.strictObject({
      branchId: z.string(),
      participant: z.string(),
      payload: z.unknown(),
      completed: z.boolean(),
    }),
  ),
});

const reportSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  decision: z.enum(['commit', 'abort']),
  branchId: z.string(),
  participant: z.string(),
  kind: z.enum(['commit', 'rollback', 'mixed', 'hazard']),
  reason: z.string(),
});

const epochSchema = z.strictObject({ epoch: z.number().int().min(1) });

type Database = RootDatabase<Buffer, string>;

/** @returns what the keys of all reports of a transaction begin with. */
export function reportsOf(transactionId: string): string {
  return `${REPORTS}${transactionId}/`;
}

export function reportKey({ id, branchId }: Pick<HeuristicRecord, 'id' | 'branchId'>): string {
  return reportsOf(id) + branchId;
}

/** @throws DamagedLogError, UnknownLogFormatError */
export function readCommits(database: Database): CommitRecord[] {
  return read(database, COMMITS, commitSchema);
}

/** @throws DamagedLogError, UnknownLogFormatError */
export function readReports(database: Database): HeuristicRecord[] {
  return read(database, REPORTS, reportSchema);
}

/**
 * @returns the epoch of the latest claim, 0 when there was none.
 * @throws DamagedLogError, UnknownLogFormatError
 */
export function readEpoch(database: Database): number {
  const stored = database.get(EPOCH);
  return stored === undefined ? 0 : parse(EPOCH, stored, epochSchema).epoch;
}

function read<T>(database: Database, prefix: string, schema: z.ZodType<T>): T[] {
  const end = prefix.slice(0, -1) + END;
  return [...database.getRange({ start: prefix, end })].map(({ key, value }) => parse(key, value, schema));
}

function parse<T>(key: string, stored: Buffer, schema: z.ZodType<T>): T {
  const parsed = schema.safeParse(decodeRecord(key, stored));
  if (!parsed.success) throw new DamagedLogError(key, `it is not of the shape of its kind`);
  return parsed.data;
}

import type { RootDatabase } from 'lmdb';
import { z } from 'zod';
import { AUDIT_KEPT, type AuditEntry, type CommitRecord, type HeuristicRecord } from '../decision-log.js';
import { DamagedLogError } from '../log-errors.js';
import { decodeRecord } from './record-format.js';

/** What the keys begin with: the commit records, the heuristic reports, and the audit entries. */
export const COMMITS = 'commit/';
export const REPORTS = 'report/';
export const AUDITS = 'audit/';
/** The epoch of the latest claim. */
export const EPOCH = 'epoch';
/** Is written to find out whether something can be. */
export const CHECK = 'check';
const STARTS = 'start/';
/** The character after the slash: where the keys of one kind end. */
const END = '0';

const commitSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  decider: z.union([
    z.strictObject({ kind: z.literal('log') }),
    z.strictObject({ kind: z.literal('branch'), branchId: z.string() }),
  ]),
  // Records of before these were kept are as good.
  begunAt: z.number().optional(),
  decidedAt: z.number().optional(),
  branches: z.array(
    z.strictObject({
      branchId: z.string(),
      participant: z.string(),
      address: z.string().optional(),
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

const auditSchema = z.strictObject({
  number: z.number().int().min(1),
  at: z.number(),
  by: z.string(),
  action: z.enum(['abort', 'retry', 'resolve', 'forget', 'pause', 'resume', 'drain', 'undrain']),
  target: z.string(),
  reason: z.string(),
  detail: z.string().nullable(),
});

const epochSchema = z.strictObject({ logId: z.string().length(12), epoch: z.number().int().min(1) });
const startSchema = z.strictObject({ token: z.string().min(1) });

type Database = RootDatabase<Buffer, string>;

/** @returns what the keys of all reports of a transaction begin with. */
export function reportsOf(transactionId: string): string {
  return `${REPORTS}${transactionId}/`;
}

export function reportKey({ id, branchId }: Pick<HeuristicRecord, 'id' | 'branchId'>): string {
  return reportsOf(id) + branchId;
}

/** Entries take turns in their places, so that only the latest are kept. */
export function auditKey({ number }: AuditEntry): string {
  return AUDITS + (number % AUDIT_KEPT);
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
 * @returns the audit entries in the order of their numbers.
 * @throws DamagedLogError, UnknownLogFormatError
 */
export function readAudits(database: Database): AuditEntry[] {
  return read(database, AUDITS, auditSchema).toSorted((a, b) => a.number - b.number);
}

/**
 * @returns the epoch of the latest claim, 0 when there was none.
 * @throws DamagedLogError, UnknownLogFormatError
 */
export function readEpoch(database: Database): number {
  return readIdentity(database)?.epoch ?? 0;
}

/**
 * @returns the id of the log and the epoch of the latest claim, undefined when there was none.
 * @throws DamagedLogError, UnknownLogFormatError
 */
export function readIdentity(
  database: Database,
): { readonly logId: string; readonly epoch: number } | undefined {
  const stored = database.get(EPOCH);
  return stored === undefined ? undefined : parse(EPOCH, stored, epochSchema);
}

export function startKey(epoch: number): string {
  return STARTS + epoch;
}

/**
 * @returns the token that was given out with an epoch, undefined when none was.
 * @throws DamagedLogError, UnknownLogFormatError
 */
export function readStart(database: Database, epoch: number): string | undefined {
  const stored = database.get(startKey(epoch));
  return stored === undefined ? undefined : parse(startKey(epoch), stored, startSchema).token;
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

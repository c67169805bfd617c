import {
  type AuditEntry,
  type CommitRecord,
  DECIDED_BY_LOG,
  type DecisionLog,
  type HeuristicRecord,
  type LogClaim,
} from '../log/decision-log.js';
import { type MemberLease, isSharedLog } from '../log/shared-log.js';
import { idPrefixOf } from '../protocol/index.js';

// The records that the conformance suite writes into a log, and the checks of what it reads.

/**
 * Keeps what a storage holds.
 *
 * @returns a function that brings it back and ends every connection to the storage.
 */
export type BackUp = () => Promise<() => void | Promise<void>>;

/** Checks one required behaviour of a log. */
export type Check = (create: () => DecisionLog, backUp: BackUp) => Promise<void>;

/** The name of the coordinator whose log is checked. */
export const NAME = 'shop';

/**
 * Opens a log, and takes up what earlier runs have left: in a log that several members share by adopting
 * every other run.
 *
 * @returns the claim, with all that was found.
 */
export async function openLog(log: DecisionLog, name = NAME): Promise<LogClaim> {
  const claim = await log.open(name);
  if (!isSharedLog(log)) return claim;
  const runs = new Map<number, Pick<LogClaim, 'decisions' | 'reports'>>();
  const { epochs } = await log.members.renew(LEASE);
  for (const { epoch } of epochs) {
    if (epoch === claim.epoch) continue;
    const adoption = await log.members.adopt(epoch);
    if (adoption !== 'taken') for (const run of adoption.runs) runs.set(run.run.epoch, run);
  }
  const decisions: CommitRecord[] = [];
  const reports: HeuristicRecord[] = [];
  for (const run of runs.values()) {
    decisions.push(...run.decisions);
    reports.push(...run.reports);
  }
  return { ...claim, decisions, reports };
}

/** The entry of a member in tests for which it does not matter. */
export const LEASE: MemberLease = { member: 'a', address: null, draining: false };

/** @returns the id of a transaction of a run. */
export function idIn({ logId, epoch }: Pick<LogClaim, 'logId' | 'epoch'>, sequence: number): string {
  return idPrefixOf({ name: NAME, logId, epoch }) + sequence;
}

export async function withLog<T>(
  create: () => DecisionLog,
  use: (log: DecisionLog, claim: LogClaim) => T | Promise<T>,
): Promise<T> {
  const log = create();
  const claim = await openLog(log);
  try {
    return await use(log, claim);
  } finally {
    await log.close();
  }
}

export function claimOf(create: () => DecisionLog): Promise<LogClaim> {
  return withLog(create, (_, claim) => claim);
}

export function recordOf(id: string, payload: unknown): CommitRecord {
  const completed = false;
  const branches = [
    { branchId: 'stock', participant: 'stock', payload, completed },
    // A participant in another process can be found again only by its address, and its vote expires.
    {
      branchId: 'payment',
      participant: 'payment',
      address: 'http://payment.internal',
      payload,
      completed,
      expiresAt: 1_893_456_000_000,
    },
  ];
  // The last field of the note is of a later version.
  const caller = { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, requestId: 'r-1', later: 'x' };
  return { id, name: 'sale', attributes: { orderId: '4711' }, caller, decider: DECIDED_BY_LOG, branches };
}

export function auditOf(number: number): AuditEntry {
  return {
    number,
    at: 1_000,
    by: 'alice',
    action: 'retry',
    target: 'shop.1.1/stock',
    reason: 'repaired',
    detail: null,
  };
}

export function reportOf(id: string, branchId = 'stock'): HeuristicRecord {
  return {
    id,
    name: 'sale',
    decision: 'commit',
    branchId,
    participant: branchId,
    kind: 'rollback',
    reason: 'an operator did it',
  };
}

export async function append(log: DecisionLog, id: string, payload: unknown = 1): Promise<void> {
  await log.append({ id, toRecord: () => recordOf(id, payload) });
}

export function idsOf({ decisions }: Pick<LogClaim, 'decisions'>): string[] {
  return decisions.map(({ id }) => id).toSorted();
}

export function sorted(reports: readonly HeuristicRecord[]): HeuristicRecord[] {
  return [...reports].toSorted((a, b) => (a.id + a.branchId < b.id + b.branchId ? -1 : 1));
}

import {
  type AuditEntry,
  type CommitRecord,
  DECIDED_BY_LOG,
  type DecisionLog,
  type HeuristicRecord,
  type LogClaim,
} from '../log/decision-log.js';

// What the conformance suite writes into a log, and how it looks at what it finds there.

/** Looks at one thing that a log must do. */
export type Check = (create: () => DecisionLog) => Promise<void>;

/** The name of the coordinator whose log is looked at. */
export const NAME = 'shop';

export async function withLog<T>(
  create: () => DecisionLog,
  use: (log: DecisionLog, claim: LogClaim) => T | Promise<T>,
): Promise<T> {
  const log = create();
  const claim = await log.open(NAME);
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
    // A participant in another process is found again only by its address.
    { branchId: 'payment', participant: 'payment', address: 'http://payment.internal', payload, completed },
  ];
  return { id, name: 'sale', decider: DECIDED_BY_LOG, branches };
}

export function auditOf(number: number): AuditEntry {
  return {
    number,
    at: 1_000,
    by: 'alice',
    action: 'retry',
    target: 'shop.1.1/stock',
    reason: 'mended',
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

export function idsOf({ decisions }: LogClaim): string[] {
  return decisions.map(({ id }) => id).toSorted();
}

export function sorted(reports: readonly HeuristicRecord[]): HeuristicRecord[] {
  return [...reports].toSorted((a, b) => (a.id + a.branchId < b.id + b.branchId ? -1 : 1));
}

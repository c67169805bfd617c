import type { AuditEntry, CommitRecord, HeuristicRecord, LogClaim } from '../log/decision-log.js';

// What the conformance suite writes into a log, and how it looks at what it finds there.

export function recordOf(id: string, payload: unknown): CommitRecord {
  const branches = ['stock', 'payment'].map((participant) => ({
    branchId: participant,
    participant,
    payload,
    completed: false,
  }));
  return { id, name: 'sale', branches };
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

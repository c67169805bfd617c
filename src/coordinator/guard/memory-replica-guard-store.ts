import type { CoordinatorRun } from '../participant/participant.js';
import { type GuardRecord, isOver } from './guard-store.js';
import {
  type GuardWrite,
  type GuardedBranch,
  type LowWaterMark,
  type ReplicaGuardStore,
  type StoredGuardRecord,
  placeInLog,
} from './replica-guard-store.js';

interface Kept {
  readonly branch: GuardedBranch;
  readonly record: GuardRecord;
  readonly version: number;
  readonly heldUntil: number;
}

/**
 * Keeps the records of a participant host in memory, for participants whose data ends with the process as
 * well.
 *
 * @publicApi
 */
export class MemoryReplicaGuardStore implements ReplicaGuardStore {
  readonly durable = false;
  private readonly kept = new Map<string, Kept>();
  private readonly runs = new Map<string, string>();
  private marks = new Map<string, number>();
  private marksBefore: ReadonlyMap<string, number> = new Map();
  private lastVersion = 0;

  /** @param now a monotonic clock, in milliseconds. @default performance.now */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** The number of records. */
  get size(): number {
    return this.kept.size;
  }

  async read(branch: GuardedBranch): Promise<StoredGuardRecord | undefined> {
    const kept = this.kept.get(keyOf(branch));
    return kept && this.shown(kept);
  }

  async insert(
    branch: GuardedBranch,
    record: GuardRecord,
    holdMs: number,
    unlessOver: boolean,
  ): Promise<GuardWrite> {
    const kept = this.kept.get(keyOf(branch));
    if (kept !== undefined) return { isWritten: false, stored: this.shown(kept) };
    if (unlessOver && isBelow(branch.transactionId, this.marks))
      return { isWritten: false, stored: undefined };
    return this.write(branch, record, holdMs);
  }

  async replace(
    branch: GuardedBranch,
    version: number,
    record: GuardRecord,
    holdMs: number,
  ): Promise<GuardWrite> {
    const kept = this.kept.get(keyOf(branch));
    if (kept?.version !== version) return { isWritten: false, stored: kept && this.shown(kept) };
    return this.write(branch, record, holdMs);
  }

  async listOpen(participant: string, after: string | undefined, limit: number): Promise<GuardedBranch[]> {
    const open = [...this.kept.values()]
      .filter(
        ({ branch }) => branch.participant === participant && (after === undefined || listed(branch) > after),
      )
      .filter((kept) => mayHold(kept.record) && !this.shown(kept).isHeld)
      .map(({ branch }) => branch);
    return open.toSorted((a, b) => (listed(a) < listed(b) ? -1 : 1)).slice(0, limit);
  }

  async admitRun({
    logId,
    epoch,
    token,
  }: Pick<CoordinatorRun, 'logId' | 'epoch' | 'token'>): Promise<string> {
    const key = `${logId}/${epoch}`;
    const known = this.runs.get(key);
    if (known !== undefined) return known;
    if ((this.marks.get(`${logId}/0`) ?? 0) >= epoch) return '';
    this.runs.set(key, token);
    return token;
  }

  async raise(logId: string, marks: readonly LowWaterMark[]): Promise<void> {
    for (const { epoch, sequence } of marks) {
      const key = `${logId}/${epoch}`;
      this.marks.set(key, Math.max(this.marks.get(key) ?? 0, sequence));
    }
  }

  async isOver(transactionId: string): Promise<boolean> {
    return isBelow(transactionId, this.marks);
  }

  async purge(): Promise<number> {
    const before = this.kept.size;
    for (const [key, { branch, record }] of this.kept) {
      if (isOver(record) && isBelow(branch.transactionId, this.marksBefore)) this.kept.delete(key);
    }
    for (const kept of [this.marks, this.runs]) dropOver(kept, this.marksBefore);
    this.marksBefore = new Map(this.marks);
    return before - this.kept.size;
  }

  private write(branch: GuardedBranch, record: GuardRecord, holdMs: number): GuardWrite {
    const version = ++this.lastVersion;
    this.kept.set(keyOf(branch), { branch, record, version, heldUntil: this.now() + holdMs });
    return { isWritten: true, version };
  }

  private shown({ record, version, heldUntil }: Kept): StoredGuardRecord {
    return { record, version, isHeld: heldUntil > this.now() };
  }
}

/** Whether a branch with this record may hold something, and no decision about it is on its way. */
export function mayHold(record: GuardRecord): boolean {
  switch (record.state) {
    case 'preparing':
    case 'failed':
    case 'rolling-back':
      return true;
    case 'voted':
      return !isOver(record);
    case 'committing':
    case 'committed':
    case 'rolled-back':
    case 'run':
      return false;
  }
}

function isBelow(transactionId: string, marks: ReadonlyMap<string, number>): boolean {
  const place = placeInLog(transactionId);
  if (place === undefined) return false;
  const { logId, epoch, sequence } = place;
  return (marks.get(`${logId}/0`) ?? 0) >= epoch || (marks.get(`${logId}/${epoch}`) ?? 0) >= sequence;
}

/** The mark of whole epochs says what was kept of each of them. */
function dropOver(kept: Map<string, unknown>, marks: ReadonlyMap<string, number>): void {
  for (const key of kept.keys()) {
    const [logId, epoch] = key.split('/') as [string, string];
    if (epoch !== '0' && Number(epoch) <= (marks.get(`${logId}/0`) ?? 0)) kept.delete(key);
  }
}

function keyOf(branch: GuardedBranch): string {
  return `${branch.participant}/${listed(branch)}`;
}

function listed({ transactionId, branchId }: GuardedBranch): string {
  return `${transactionId}/${branchId}`;
}

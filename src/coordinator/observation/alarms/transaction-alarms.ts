import { epochMsOf } from '../../execution/clock.js';
import type { BranchRecord, TransactionRecord } from '../../execution/records.js';
import type { TransactionRegistry } from '../../execution/registry.js';
import { State, heuristicBranches, includes } from '../../protocol/index.js';
import {
  DOUBT_WORTH_A_LOOK_MS,
  expiringBranches,
  inDoubtSince,
  needingAttention,
  stalledSince,
} from '../attention.js';
import { type Alarm, type AlarmName, alarmId, alarmOf } from './alarm.js';

/** As the rule DtcInDoubtTooLong. */
const DOUBT_TOO_LONG_MS = 30_000;
/** As the rule DtcStalledTooLong. */
const STALLED_TOO_LONG_MS = 3_600_000;
/** The most characters of a cause. */
const MAX_CAUSE = 200;

type Kind = 'heuristic' | 'stalled' | 'expiring' | 'in-doubt';

/** Why one transaction needs an operator. It may have several reasons, at several participants. */
interface Reason {
  readonly id: string;
  /** The branch that has the problem; undefined where the log has it. */
  readonly branch: BranchRecord | undefined;
  readonly kind: Kind;
  readonly subject: string | null;
  readonly cause: string | null;
  /** On the coordinator's clock. */
  readonly since: number;
  readonly nextAttemptAt?: number | undefined;
  readonly expiresAt?: number;
}

/** @param now on the coordinator's clock. @returns the alarms of all transactions, in no order. */
export function transactionAlarms(registry: TransactionRegistry, now: number): Alarm[] {
  const gathered = new Map<string, Gathered>();
  for (const transaction of needingAttention(registry, now)) {
    const seen = new Set<string>();
    for (const reason of reasonsOf(transaction, now)) {
      const found = gathered.get(reason.id);
      if (found === undefined) gathered.set(reason.id, new Gathered(transaction, reason));
      else found.add(transaction, reason, seen.has(reason.id));
      seen.add(reason.id);
    }
  }
  return Array.from(gathered.values(), (found) => found.alarm(now));
}

/** @returns whether the transaction is one of those that an alarm counts. */
export function isCountedBy(alarm: string, transaction: TransactionRecord, now: number): boolean {
  return reasonsOf(transaction, now).some(({ id }) => id === alarm);
}

/** @returns the ids of the alarms that count branches of a transaction, by the index of the branch; undefined for none. */
export function alarmsByBranch(
  transaction: TransactionRecord,
  now: number,
): ReadonlyMap<number, readonly string[]> | undefined {
  const reasons = reasonsOf(transaction, now);
  if (reasons.length === 0) return undefined;
  const found = new Map<number, string[]>();
  for (const { id, branch } of reasons)
    if (branch !== undefined) found.set(branch.index, [...(found.get(branch.index) ?? []), id]);
  return found;
}

function reasonsOf(transaction: TransactionRecord, now: number): Reason[] {
  const reasons: Reason[] = [];
  const reports = heuristicBranches(transaction);
  if (transaction.stalled !== 0 || reports !== 0) {
    for (const branch of transaction.branches) {
      if (includes(transaction.stalled, branch.index)) reasons.push(stalledReason(transaction, branch));
      if (includes(reports, branch.index)) reasons.push(heuristicReason(transaction, branch));
    }
  }
  if (transaction.extras?.hasExpiries === true) {
    for (const branch of expiringBranches(transaction)) {
      const since = branch.expiry!.announceAt;
      const { expiresAt } = branch.expiry!;
      const subject = branch.participant.name;
      const cause = branch.delivery?.lastError ?? null;
      const reason = named('expiring', subject, cause);
      reasons.push({ ...reason, branch, since, expiresAt, nextAttemptAt: nextOf(branch) });
    }
  }
  if (transaction.state === State.READY && now - inDoubtSince(transaction) >= DOUBT_WORTH_A_LOOK_MS)
    reasons.push(doubtReason(transaction));
  return reasons;
}

function stalledReason(transaction: TransactionRecord, branch: BranchRecord): Reason {
  const cause = branch.isHeld ? 'the participant is paused' : (branch.delivery?.lastError ?? null);
  return {
    ...named('stalled', branch.participant.name, cause),
    branch,
    since: stalledSince(transaction),
    nextAttemptAt: nextOf(branch),
  };
}

function heuristicReason(transaction: TransactionRecord, branch: BranchRecord): Reason {
  const { kind, reason } = branch.heuristic!;
  return {
    ...named('heuristic', branch.participant.name, `${kind}: ${reason}`),
    branch,
    since: transaction.decidedAt || transaction.startedAt,
  };
}

/** The log is asked for the decision, unless a branch decides. */
function doubtReason(transaction: TransactionRecord): Reason {
  const decider = transaction.branches.find(({ delivery }) => delivery !== undefined);
  return {
    ...named('in-doubt', decider?.participant.name ?? null, decider?.delivery?.lastError ?? null),
    branch: decider,
    since: inDoubtSince(transaction),
    nextAttemptAt: decider && nextOf(decider),
  };
}

function named(
  kind: Kind,
  subject: string | null,
  cause: string | null,
): Pick<Reason, 'id' | 'kind' | 'subject' | 'cause'> {
  return { id: alarmId(kind, subject, cause), kind, subject, cause: cause?.slice(0, MAX_CAUSE) ?? null };
}

function nextOf({ delivery }: BranchRecord): number | undefined {
  const isWaiting =
    delivery !== undefined && delivery.attempt === undefined && Number.isFinite(delivery.dueAt);
  return isWaiting ? delivery.dueAt : undefined;
}

/** The transactions of one alarm. */
class Gathered {
  private count = 1;
  private nextAttemptAt: number | undefined;
  private expiresAt: number | undefined;

  constructor(
    private oldest: TransactionRecord,
    private reason: Reason,
  ) {
    this.nextAttemptAt = reason.nextAttemptAt;
    this.expiresAt = reason.expiresAt;
  }

  /** @param isCounted whether another branch of the transaction has the same problem. */
  add(transaction: TransactionRecord, reason: Reason, isCounted: boolean): void {
    if (!isCounted) this.count++;
    if (reason.since < this.reason.since) {
      this.oldest = transaction;
      this.reason = reason;
    }
    this.nextAttemptAt = earlier(this.nextAttemptAt, reason.nextAttemptAt);
    this.expiresAt = earlier(this.expiresAt, reason.expiresAt);
  }

  alarm(now: number): Alarm {
    const { oldest, reason, count } = this;
    const at = (moment: number | undefined): string | null =>
      moment === undefined ? null : new Date(epochMsOf(oldest.executor.clock, moment)).toISOString();
    const { name, isUrgent } = this.nameAt(now);
    return alarmOf(name, reason.subject, {
      id: reason.id,
      cause: reason.cause,
      count,
      unit: 'transactions',
      since: at(reason.since),
      oldest: oldest.id,
      nextAttemptAt: at(this.nextAttemptAt),
      expiresAt: at(this.expiresAt),
      ...(isUrgent === false && { severity: 'warning' }),
    });
  }

  private nameAt(now: number): { readonly name: AlarmName; readonly isUrgent?: boolean } {
    const { kind, since } = this.reason;
    switch (kind) {
      case 'heuristic':
        return { name: 'DtcHeuristicReportOpen' };
      case 'expiring':
        return { name: 'DtcVotesExpiring' };
      case 'stalled':
        return { name: now - since > STALLED_TOO_LONG_MS ? 'DtcStalledTooLong' : 'DtcStalled' };
      case 'in-doubt':
        return { name: 'DtcInDoubtTooLong', isUrgent: now - since > DOUBT_TOO_LONG_MS };
    }
  }
}

function earlier(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.min(one, other);
}

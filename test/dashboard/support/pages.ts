import type {
  AlarmName,
  AuditPage,
  BranchView,
  HistoryPage,
  OwnedTransaction,
  OwnedAlarm,
  Overview,
  PageOfAll,
  TransactionSummary,
} from '../../../dashboard/src/api/views.js';
import { alarmId, alarmOf, byUrgency } from '../../../src/coordinator/observation/alarms/alarm.js';
import { FakeProblem } from './callers.js';
import { type Scenario, type ScriptedTransaction, nowOf } from './scenario.js';

export function overviewOf(scenario: Scenario): Overview {
  const { coordinator, participants, members } = scenario;
  const isShared = members.length > 0;
  const alarms = alarmsOf(scenario);
  return {
    at: new Date(nowOf(scenario)).toISOString(),
    coordinator,
    members: {
      shared: isShared,
      epoch: coordinator.epoch,
      leaseMs: 5_000,
      listedMsAgo: isShared ? 300 : null,
      adoptions: 0,
      returns: 0,
      members,
    },
    alarms,
    alarmsTotal: alarms.length,
    participants,
  };
}

/** The cursor is the place in the list; so simple a one would not do where transactions begin and end. */
export function transactionPage(scenario: Scenario, query: URLSearchParams): PageOfAll {
  const found = scenario.transactions.filter((transaction) => matches(transaction, query));
  if (query.get('order') === 'oldest') found.reverse();
  const from = Number(query.get('cursor') ?? 0);
  const to = from + Number(query.get('limit') ?? 100);
  return {
    transactions: found
      .slice(from, to)
      .map((transaction) => Object.assign(summaryOf(scenario, transaction), { owner: null })),
    nextCursor: to < found.length ? String(to) : null,
    unanswered: scenario.members
      .filter(({ state }) => state === 'lost')
      .map(({ epoch, member }) => ({ epoch, member, problem: 'its lease has expired' })),
  };
}

export function viewOf(scenario: Scenario, id: string): OwnedTransaction {
  const found = scenario.transactions.find(({ transactionId }) => transactionId === id);
  if (found === undefined) {
    throw new FakeProblem(404, 'DTC_TRANSACTION_NOT_FOUND', `No transaction ${id} is known here.`);
  }
  return { ...summaryOf(scenario, found), timeline: found.timeline, owner: null };
}

export function auditPage({ audit: all }: Scenario, query: URLSearchParams): AuditPage {
  const id = query.get('transactionId');
  const audit = id === null ? all : all.filter(({ target }) => target.split('/')[0] === id);
  const from = Number(query.get('cursor') ?? 0);
  const to = from + Number(query.get('limit') ?? 100);
  return { entries: audit.slice(from, to), nextCursor: to < audit.length ? String(to) : null };
}

/** An hour in which payment failed for ten minutes. */
export function historyPage(scenario: Scenario): HistoryPage {
  const now = nowOf(scenario);
  const points = Array.from({ length: 720 }, (_, index) => {
    const isBad = index >= 480 && index < 600;
    return {
      at: new Date(now - (719 - index) * 5_000).toISOString(),
      committed: isBad ? 40 : 180,
      pending: 0,
      heuristic: 0,
      aborted: isBad ? { failed: 60, 'timed-out': 9 } : {},
      refused: 0,
      inFlight: isBad ? 90 : 12,
      inDoubt: 0,
      stalled: isBad ? 1 : 0,
    };
  });
  const marks = scenario.audit
    .filter(({ action }) => action === 'resume')
    .map(({ at, action, target, by }) => ({ at, action, target, by }));
  return { startedAt: scenario.coordinator.startedAt, stepMs: 5_000, points, marks };
}

function summaryOf(scenario: Scenario, transaction: ScriptedTransaction): TransactionSummary {
  const { startedAt, durationMs } = transaction;
  const ageMs = durationMs ?? nowOf(scenario) - Date.parse(startedAt);
  const branches = transaction.branches.map((branch) => {
    const problem = problemOf(transaction, branch);
    return problem === undefined ? branch : { ...branch, alarms: [problem.id] };
  });
  const summary: Partial<ScriptedTransaction> = { ...transaction, ageMs, branches };
  delete summary.timeline;
  return summary as TransactionSummary;
}

/** One alarm for each problem and participant, the most urgent first. */
function alarmsOf({ transactions }: Scenario): OwnedAlarm[] {
  const alarms = new Map<string, OwnedAlarm>();
  for (const transaction of transactions.toReversed()) {
    for (const alarm of alarmsOfOne(transaction)) {
      const before = alarms.get(alarm.id);
      alarms.set(alarm.id, before === undefined ? alarm : { ...before, count: before.count + 1 });
    }
  }
  return [...alarms.values()].toSorted(byUrgency);
}

function alarmsOfOne(transaction: ScriptedTransaction): OwnedAlarm[] {
  const { transactionId: oldest, startedAt, decidedAt, inDoubt } = transaction;
  const common = { oldest, unit: 'transactions', since: decidedAt ?? startedAt } as const;
  const members: string[] = [];
  const ofBranches = transaction.branches.flatMap((branch) => {
    const found = problemOf(transaction, branch);
    if (found === undefined) return [];
    const { participant, nextAttemptAt } = branch;
    const { name, id, cause } = found;
    return [{ ...alarmOf(name, participant, { ...common, id, cause, nextAttemptAt }), members }];
  });
  return inDoubt ? [...ofBranches, { ...alarmOf('DtcInDoubtTooLong', null, common), members }] : ofBranches;
}

/** What is wrong with one branch, and the alarm that counts it. */
function problemOf(
  { heuristic: open }: Pick<ScriptedTransaction, 'heuristic'>,
  { participant, stalled, heuristic, lastError }: BranchView,
): { readonly name: AlarmName; readonly id: string; readonly cause: string | null } | undefined {
  if (heuristic !== null && open !== null) {
    const cause = `${heuristic.kind}: ${heuristic.reason}`;
    return { name: 'DtcHeuristicReportOpen', id: alarmId('heuristic', participant, cause), cause };
  }
  if (!stalled) return undefined;
  return { name: 'DtcStalled', id: alarmId('stalled', participant, lastError), cause: lastError };
}

function ageOf({ durationMs, startedAt }: ScriptedTransaction): number {
  return durationMs ?? Date.now() - Date.parse(startedAt);
}

function matches(transaction: ScriptedTransaction, query: URLSearchParams): boolean {
  const asked = (name: string): string | null => query.get(name);
  const { group } = transaction;
  return (
    (asked('search') === null || transaction.transactionId.startsWith(asked('search')!)) &&
    (asked('cause') === null ||
      transaction.branches.some(({ lastError }) => lastError?.includes(asked('cause')!) === true)) &&
    (asked('groups') === null ||
      (asked('groups') === 'true') === (group?.id === transaction.transactionId)) &&
    (asked('group') === null || asked('group') === group?.id) &&
    (asked('minAgeMs') === null || ageOf(transaction) >= Number(asked('minAgeMs'))) &&
    (asked('state') === null || asked('state') === transaction.state) &&
    (asked('name') === null || asked('name') === transaction.name) &&
    (asked('participant') === null ||
      transaction.branches.some(({ participant }) => participant === asked('participant'))) &&
    (asked('alarm') === null || alarmsOfOne(transaction).some(({ id }) => id === asked('alarm'))) &&
    (asked('stalled') === null || (asked('stalled') === 'true') === transaction.stalled) &&
    (asked('inDoubt') === null || (asked('inDoubt') === 'true') === transaction.inDoubt) &&
    (asked('heuristic') === null || (asked('heuristic') === 'true') === (transaction.heuristic !== null))
  );
}

import type {
  GroupResult,
  GroupTarget,
  HeuristicKind,
  OperatorAction,
} from '../../../dashboard/src/api/views.js';
import { FakeProblem } from './callers.js';
import { actOnMessages } from './outboxes.js';
import { viewOf } from './pages.js';
import type { Scenario } from './scenario.js';

/** The body of an action. */
export interface ActionRequest {
  readonly reason: string;
  readonly as?: HeuristicKind;
  readonly member?: number;
  readonly action?: OperatorAction;
  readonly targets?: readonly GroupTarget[];
  readonly alarm?: string;
  readonly ids?: readonly string[];
}

/** Does to the scenario what the action would do, as far as one sees it, and notes it in the audit trail. */
export function applyAction(scenario: Scenario, by: string, path: string, body: ActionRequest): unknown {
  if (body.targets !== undefined) return applyToGroup(scenario, by, body.action!, body.targets, body);
  const parts = path.split('/').slice(1).map(decodeURIComponent);
  const action = parts.at(-1) as OperatorAction;
  const [collection, name] = parts;
  const target =
    collection === 'coordinator' ? scenario.coordinator.name : [name, parts[3]].filter(Boolean).join('/');
  scenario.audit.unshift({
    id: `a${scenario.audit.length + 1}`,
    at: new Date().toISOString(),
    by,
    action,
    target,
    reason: body.reason,
    detail: body.ids?.join(', ') ?? (body.as === undefined ? null : `as ${body.as}`),
  });
  if (collection === 'coordinator') return drain(scenario, action === 'drain', body.member);
  if (body.ids !== undefined) return actOnMessages(scenario, body.ids);
  if (collection === 'participants')
    return pause(scenario, name!, by, action === 'pause' ? body.reason : null);
  changeTransaction(scenario, name!, action, parts[3], body);
  return viewOf(scenario, name!);
}

function applyToGroup(
  scenario: Scenario,
  by: string,
  action: OperatorAction,
  targets: readonly GroupTarget[],
  { reason, as }: ActionRequest,
): GroupResult {
  for (const { transactionId, branchId } of targets) {
    const path = branchId === undefined ? [transactionId] : [transactionId, 'branches', branchId];
    const named = ['', 'transactions', ...path.map(encodeURIComponent), action].join('/');
    applyAction(scenario, by, named, { reason, ...(as && { as }) });
  }
  return { done: targets.length, refused: [], notTried: [] };
}

function drain({ coordinator, members }: Scenario, draining: boolean, epoch?: number): unknown {
  const member = members.find((one) => one.epoch === epoch && !one.self);
  if (member !== undefined) {
    member.draining = draining;
    member.condition = { ...member.condition!, draining, accepting: !draining };
    return coordinator;
  }
  coordinator.condition.draining = draining;
  coordinator.condition.accepting = !draining;
  return coordinator;
}

function pause({ participants }: Scenario, name: string, by: string, reason: string | null): unknown {
  const found = participants.find((participant) => participant.name === name);
  if (found === undefined) throw new FakeProblem(404, 'DTC_PARTICIPANT_NOT_FOUND', `No participant ${name}.`);
  found.paused = reason === null ? null : { since: new Date().toISOString(), by, reason };
  return found;
}

function changeTransaction(
  scenario: Scenario,
  id: string,
  action: OperatorAction,
  branchId: string | undefined,
  body: ActionRequest,
): void {
  const transaction = scenario.transactions.find(({ transactionId }) => transactionId === id)!;
  const branch = transaction.branches.find((candidate) => candidate.branchId === branchId);
  const now = new Date().toISOString();
  if (action === 'abort') Object.assign(transaction, { state: 'ABORTED', decision: 'abort', endedAt: now });
  if (action === 'forget') transaction.heuristic = null;
  if (action === 'retry') branch!.nextAttemptAt = null;
  if (action === 'resolve') {
    Object.assign(branch!, { stalled: false, nextAttemptAt: null, state: 'committed' });
    Object.assign(transaction, { stalled: false, state: 'COMMITTED', endedAt: now, durationMs: 724_000 });
    if (body.as !== 'commit') {
      Object.assign(branch!, { state: 'heuristic', heuristic: { kind: body.as, reason: body.reason } });
      transaction.heuristic = body.as!;
    }
  }
}

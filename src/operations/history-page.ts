import type { AuditEntry, History, HistoryView, OperatorActions } from '../coordinator/index.js';

const HOUR_MS = 3_600_000;
/** Orders that change what the figures show. */
const MARKED: ReadonlySet<AuditEntry['action']> = new Set(['pause', 'resume', 'drain', 'undrain'] as const);
/** The most marks that are shown. */
const MAX_MARKS = 100;

/** An order of an operator that explains a change of the figures. @publicApi */
export interface HistoryMark {
  /** ISO 8601. */
  readonly at: string;
  readonly action: AuditEntry['action'];
  readonly target: string;
  readonly by: string;
}

/** The last hour of one member, with what was ordered meanwhile. @publicApi */
export interface HistoryPage extends HistoryView {
  /** The oldest first. */
  readonly marks: readonly HistoryMark[];
}

export function historyPage(history: History, actions: OperatorActions, now = Date.now()): HistoryPage {
  const marks = actions
    .audit(MAX_MARKS)
    .filter(({ action, at }) => MARKED.has(action) && at > now - HOUR_MS)
    .map(({ at, action, target, by }) => ({ at: new Date(at).toISOString(), action, target, by }));
  return { ...history.view(), marks: marks.toReversed() };
}

// The answers of the operators' interface, as types only, which disappear when the page is built.
export type {
  AlarmName,
  BranchView,
  CoordinatorCondition,
  CoordinatorView,
  HistoryPoint,
  HeuristicKind,
  Latency,
  LockHolder,
  LockWait,
  OperatorAction,
  ParticipantView,
  RemoteHost,
  TimelineEntry,
  TransactionState,
  TransactionSummary,
  TransactionView,
} from '../../../src/coordinator/index.js';
export { HEURISTIC_KINDS } from '../../../src/coordinator/protocol/heuristics.js';
export { STATES } from '../../../src/coordinator/protocol/states.js';
export type { Caller } from '../../../src/operations/access/access.js';
export type { LinkTemplate, LinksView, PageLink } from '../../../src/operations/links.js';
export type { GroupResult, GroupTarget } from '../../../src/operations/group-result.js';
export type { HistoryMark, HistoryPage } from '../../../src/operations/history-page.js';
export type {
  DatabaseView,
  DatabasesView,
  PreparedView,
} from '../../../src/operations/databases/database-views.js';
export type {
  DeadMessageDetail,
  DeadMessagePage,
  DeadMessageView,
  MessageResult,
  OutboxView,
} from '../../../src/operations/outboxes/outbox-views.js';
export type { AuditEntryView, AuditPage } from '../../../src/operations/audit-page.js';
export type {
  MemberNow,
  MembersNow,
  OwnedAlarm,
  OutcomeOnly,
  OwnedSummary,
  OwnedTransaction,
  UnansweredMember,
} from '../../../src/operations/members/owned.js';
export type { PageOfAll } from '../../../src/operations/members/any-member.js';
export type { Overview } from '../../../src/operations/overview-stream.js';

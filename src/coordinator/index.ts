/** @module nestjs-dtc */
export { CoordinatorModule } from './coordinator.module.js';
export type { CoordinatorModuleOptions } from './coordinator.module-definition.js';
export type { CoordinatorOptions, ResolvedCoordinatorOptions } from './coordinator.options.js';
export { DistributedTransaction } from './declarative/distributed-transaction.decorator.js';
export type {
  BeginningOptions,
  DistributedTransactionOptions,
  FitsMethod,
  JoiningOptions,
  Propagation,
} from './declarative/distributed-transaction.options.js';
export {
  FailedAfterCommitError,
  InTransactionError,
  InvalidMethodError,
  NotCommittedError,
  NotManagedError,
  RepeatedCallError,
} from './declarative/errors.js';
export {
  ActionRefusedError,
  BranchConflictError,
  BranchNotFoundError,
  CoordinatorError,
  type CoordinatorErrorCode,
  DrainingError,
  DuplicateParticipantError,
  NoTransactionError,
  DurableLogNeededError,
  FencedError,
  InvalidOptionsError,
  InvalidParticipantError,
  InvalidRequestError,
  KeyReusedError,
  NotActiveError,
  OverloadedError,
  MessageNotFoundError,
  OutboxNotFoundError,
  ParticipantNotFoundError,
  ParticipantNotClaimedError,
  ParticipantPausedError,
  ParticipantSilentError,
  ParticipantStalledError,
  ShuttingDownError,
  TooManyBranchesError,
  TwoLastResourcesError,
  TransactionNotFoundError,
  UnknownParticipantError,
} from './errors.js';
export { AttemptAbandonedError, TransactionAbortedError } from './gate/guarded-signal.js';
export type { UndecidedBranch, UndecidedReason } from './execution/observer.js';
export type { IncidentType } from './execution/incident.js';
export type { Clock } from './execution/clock.js';
export type { Decision } from './execution/inquiry-answer.js';
export {
  GuardCallError,
  type Awaitable,
  GuardConflictError,
  type GuardRecord,
  GuardRunError,
  type GuardStep,
  type GuardStore,
  GuardStoreError,
  type GuardWrite,
  type GuardedBranch,
  type LowWaterMark,
  MemoryGuardStore,
  type MemoryGuardStoreOptions,
  MemoryReplicaGuardStore,
  type OnePhaseSteps,
  ParticipantGuard,
  type ParticipantGuardOptions,
  type PlaceInLog,
  type ReplicaGuardStore,
  type StoredGuardRecord,
  TryAgainError,
  placeInLog,
} from './guard/index.js';
export { Histogram } from './histogram.js';
export {
  type AuditEntry,
  type CommitDecision,
  type CommitRecord,
  type Decider,
  type DecisionLog,
  type HeuristicRecord,
  type GroupedTransaction,
  type LogClaim,
  OPERATOR_ACTIONS,
  type OperatorAction,
} from './log/decision-log.js';
export {
  DamagedLogError,
  FormerLogError,
  LogBehindError,
  LogBrokenError,
  LogInUseError,
  LogNotOpenedError,
  LogStartsUsedUpError,
  LogUnavailableError,
  RecordRefusedError,
  UnknownLogFormatError,
} from './log/log-errors.js';
export { FlushStatistics } from './log/flush-statistics.js';
export { MemoryDecisionLog } from './log/memory-decision-log.js';
export {
  type AdoptedRun,
  type Adoption,
  type FormatRange,
  type KeyedRequest,
  type KnownRun,
  type LogMembers,
  type LoggedOutcome,
  type LoggedRegistration,
  type MemberEpoch,
  type MemberLease,
  type ParticipantRegistration,
  type Renewal,
  type Reservation,
  type SharedAuditEntry,
  type SharedCommitDecision,
  type SharedDecisionLog,
  isSharedLog,
} from './log/shared-log.js';
export {
  CoordinatorMembers,
  type MemberView,
  type MembersView,
  type TransactionOwner,
} from './observation/coordinator-members.js';
export type { MemberState } from './observation/member-state.js';
export {
  type Attention,
  type CoordinatorCondition,
  CoordinatorStatus,
  type CoordinatorView,
  type ParticipantView,
  type RemoteView,
  type UndecidedView,
} from './observation/coordinator-status.js';
export {
  ALARM_SEVERITIES,
  type Alarm,
  type AlarmName,
  type AlarmRegistry,
  type AlarmSeverity,
  type AlarmUnit,
} from './observation/alarms/alarm.js';
export { AlarmBoard, type AlarmList } from './observation/alarms/alarm-board.js';
export { History, type HistoryPoint, type HistoryView } from './observation/history.js';
export {
  TRANSACTION_EVENTS,
  type TransactionAbortedEvent,
  type TransactionCommittedEvent,
  type TransactionEvent,
  type TransactionEventPayloads,
  type TransactionExpiringEvent,
  type TransactionHeuristicEvent,
  type TransactionPendingEvent,
  type TransactionStalledEvent,
} from './observation/events.js';
export type { Latency, ParticipantLatency } from './observation/metrics/participant-measurements.js';
export type { OnTransactionOptions } from './observation/event-emitter.js';
export { OnTransaction } from './observation/on-transaction.decorator.js';
export type { TransactionStatistics } from './observation/statistics.js';
export type { TimelineEntry } from './observation/timeline.js';
export {
  type FinishedTransaction,
  NestTransactionLines,
  type NestTransactionLinesOptions,
  type TransactionLine,
  type TransactionLines,
  lineOf,
} from './observation/transaction-lines.js';
export type {
  TransactionEntries,
  TransactionEntry,
  TransactionFilter,
  TransactionPage,
} from './observation/transaction-listing.js';
export type {
  BranchState,
  BranchView,
  GroupView,
  TransactionSummary,
  TransactionView,
} from './observation/transaction-view.js';
export type { DeadMessage, DeadMessageInFull, OutboxCounts, OutboxStatus } from './operator/outboxes.js';
export { type AuditPlace, OperatorActions, type OperatorOrder } from './operator/operator-actions.js';
export type {
  AbortedOutcome,
  CommittedOutcome,
  HeuristicOutcome,
  HeuristicReport,
  KnownOutcome,
  Outcome,
  OutcomeOfTransaction,
  PendingOutcome,
} from './outcome.js';
export {
  type BranchOptions,
  type BranchRequest,
  type ParticipantReference,
  branch,
} from './participant/branch-request.js';
export { Participant } from './participant/participant.decorator.js';
export type { ParticipantOptions, ResolvedParticipantOptions } from './participant/participant.options.js';
export { ParticipantRegistry } from './participant/participant.registry.js';
export {
  type AbortVote,
  type RefusalOptions,
  type Branch,
  type BranchEnd,
  type BranchStart,
  type CoordinatorRun,
  type DatabaseInspection,
  type DatabaseSession,
  type ExpiringVote,
  HeuristicError,
  type IsOwnRun,
  type LockHolder,
  type LockWait,
  MAX_VALID_FOR_MS,
  type OnePhaseAnswer,
  type ParticipantCapacity,
  type PreparedBranch,
  type PreparedTransaction,
  type Registration,
  type TransactionParticipant,
  type Vote,
  branchKey,
  refuse,
} from './participant/participant.js';
export type { RemoteContact, RemoteHost } from './participant/remote-contact.js';
export type { Attributes } from './participant/attributes.js';
export { type CallerNote, type OriginFields, requestIdFrom } from './participant/caller-note.js';
export type {
  GroupBranch,
  GroupMember,
  GroupingParticipant,
  MemberFailure,
  MemberVote,
} from './participant/group.js';
export { isLaterRunOf } from './participant/run-lineage.js';
export type { ParticipantEntry } from './participant/participant-entry.js';
export type { LastResource, LastResourceAnswer } from './participant/last-resource.js';
export type { ParticipantCounts, Pause } from './participant/registered-participant.js';
export {
  type AbortCause,
  HEURISTIC_KINDS,
  type HeuristicKind,
  type IdOrigin,
  LEGAL_TRANSITIONS,
  STATES,
  type TransactionState,
  coordinatorNameOf,
  idPrefixOf,
  originOf,
} from './protocol/index.js';
export { ServerBusyError } from './server-busy.error.js';
export { Transaction } from './transaction.js';
export { type BegunOnce, TransactionManager } from './transaction-manager.js';
export type {
  BeginOnceOptions,
  BeginOptions,
  KeyOptions,
  TransactionRequest,
} from './participant/transaction-request.js';

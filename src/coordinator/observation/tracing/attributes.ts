/**
 * The attributes of spans. There is no convention for two-phase commit, so the names are the coordinator's
 * own, except for two of OpenTelemetry: https://opentelemetry.io/docs/specs/semconv/registry/attributes/
 */
export const ATTRIBUTES = {
  transactionId: 'dtc.transaction.id',
  transactionName: 'dtc.transaction.name',
  /** Before the name of an attribute of the caller. */
  ofCaller: 'dtc.attribute.',
  participant: 'dtc.participant',
  branchId: 'dtc.branch.id',
  /** The number of the delivery of the decision, from 1. */
  attempt: 'dtc.attempt',
  /** `commit`, `read-only` or `abort`. */
  vote: 'dtc.vote',
  /** Why a participant refused. */
  refusalCode: 'dtc.refusal.code',
  refusalReason: 'dtc.refusal.reason',
  validFor: 'dtc.vote.valid_for_ms',
  /** The kind of the answer of a participant host. */
  answer: 'dtc.answer',
  /** `commit` or `abort`. */
  decision: 'dtc.decision',
  /** The outcome that the caller was told: `committed`, `aborted`, `pending` or `heuristic`. */
  outcome: 'dtc.outcome',
  abortCause: 'dtc.abort.cause',
  abortParticipant: 'dtc.abort.participant',
  abortCode: 'dtc.abort.code',
  abortReason: 'dtc.abort.reason',
  /** `commit`, `rollback`, `mixed` or `hazard`. */
  heuristic: 'dtc.heuristic',
  /** The id of the group that prepares the transaction. */
  groupId: 'dtc.group.id',
  /** How many members it has. */
  groupSize: 'dtc.group.size',
  /** How often its work has run. */
  groupRuns: 'dtc.group.runs',
  /** The call still runs, but the coordinator no longer waits for it. */
  abandoned: 'dtc.abandoned',
  errorType: 'error.type',
  functionName: 'code.function.name',
} as const;

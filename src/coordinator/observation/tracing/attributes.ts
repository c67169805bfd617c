/**
 * What spans say. There is no convention for two-phase commit, so the names are the coordinator's own, but for the
 * two that OpenTelemetry has: https://opentelemetry.io/docs/specs/semconv/registry/attributes/
 */
export const ATTRIBUTES = {
  transactionId: 'dtc.transaction.id',
  transactionName: 'dtc.transaction.name',
  participant: 'dtc.participant',
  branchId: 'dtc.branch.id',
  /** Which delivery of the decision it is, from 1. */
  attempt: 'dtc.attempt',
  /** `commit`, `read-only` or `abort`. */
  vote: 'dtc.vote',
  /** Why a participant said no. */
  refusalCode: 'dtc.refusal.code',
  refusalReason: 'dtc.refusal.reason',
  /** `commit` or `abort`. */
  decision: 'dtc.decision',
  /** What the caller was told: `committed`, `aborted`, `pending` or `heuristic`. */
  outcome: 'dtc.outcome',
  abortCause: 'dtc.abort.cause',
  abortParticipant: 'dtc.abort.participant',
  abortCode: 'dtc.abort.code',
  abortReason: 'dtc.abort.reason',
  /** `commit`, `rollback`, `mixed` or `hazard`. */
  heuristic: 'dtc.heuristic',
  /** The call goes on, but the coordinator waits for it no longer. */
  abandoned: 'dtc.abandoned',
  errorType: 'error.type',
  functionName: 'code.function.name',
} as const;

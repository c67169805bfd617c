/* After each step: what is forgotten, and what must hold. */

/* What can change nothing any more is forgotten; what would be a violation stays. */
inline forget() {
  votesYes = votesYes & AWAITED;
  votesReadOnly = votesReadOnly & AWAITED;
  votesNo = votesNo & AWAITED;
  votesNone = votesNone & AWAITED;
#ifdef UNGUARDED
  prepares = prepares & IDLE;
#else
  /* Of those awaited, a participant whose answer is final need not be asked again. */
  prepares = prepares & (IDLE | (AWAITED & ~((pReadOnly & votesReadOnly) | ((pRefused | pRolledBack) & votesNo))));
#endif
  commitAcks = commitAcks & COMMITS_OPEN;
  commits = commits & (~pCommitted | (COMMITS_OPEN & ~commitAcks));
  /* A rollback whose acknowledgement is not awaited is a stray one, whichever coordinator sent it. */
  strays = (strays | (rollbacks0 & ~(ABORTS_OPEN & ~late)) | (rollbacks1 & ~(ABORTS_OPEN & late))) & MAY_HOLD;
#ifdef M_OVERTAKEN_ACK_COUNTS
  rollbackAcks0 = rollbackAcks0 & ABORTS_OPEN;
#else
  rollbackAcks0 = rollbackAcks0 & ABORTS_OPEN & ~late;
#endif
  rollbackAcks1 = rollbackAcks1 & ABORTS_OPEN & late;
  rollbacks0 = rollbacks0 & ABORTS_OPEN & ~late & (MAY_HOLD | ~rollbackAcks0);
  rollbacks1 = rollbacks1 & ABORTS_OPEN & late & (MAY_HOLD | ~rollbackAcks1);
  onePhaseAnswer = onePhaseAnswer && IN_DOUBT;
  onePhaseRequest = onePhaseRequest && ((IDLE & 1) || (IN_DOUBT && !onePhaseAnswer));
  appending = WILL_RECORD;
  ending = ending && !ended;
  named = ((appending || HAS_RECORD) -> named : 0)
}

#define CAN_COMMIT (pPrepared | pCommitted | pReadOnly)

/* What holds in every state. */
inline check() {
  /* AC1: all that decide, decide the same. */
  assert(!pCommitted || !(pRolledBack | pRefused));
  /* AC3: commit only if every participant voted for it. */
  assert(!pCommitted || !(ALL & ~CAN_COMMIT));
  /* Rule 1: the decision is in the log before the first commit leaves. */
  assert(!commits || recorded);
  /* M8, fault 47: no end before every acknowledgement. */
  assert(!(ending || ended) || !(ALL & ~(pCommitted | pReadOnly)));
  /* Told = actual. */
  assert(told != TOLD_COMMITTED || (!(ALL & ~CAN_COMMIT) && (!pPrepared || HAS_RECORD)));
  assert(told != TOLD_ABORTED || (!pCommitted && !commits && !recorded && !WILL_RECORD));
#ifdef SHARED
  assert(asked != TOLD_COMMITTED || (!(ALL & ~CAN_COMMIT) && (!pPrepared || HAS_RECORD)));
  assert(asked != TOLD_ABORTED || (!pCommitted && !commits && !recorded && !WILL_RECORD));
  assert(!(told == TOLD_COMMITTED && asked == TOLD_ABORTED) || !(ALL & ~pReadOnly));
  assert(!(told == TOLD_ABORTED && asked == TOLD_COMMITTED));
#endif
  /* M6: after an abort that has ended nothing is left prepared. */
  assert(!(state == ABORTED && !open && !awaiting) || !pPrepared);
  /* AC1 and M1, of the decision itself. */
  assert(!DECIDED_COMMIT || !(pRolledBack | pRefused));
  assert(!DECIDED_ABORT || (!pCommitted && !recorded && !WILL_RECORD));
  assert(!DECIDED_COMMIT || onePhase || !yes || recorded);
  /* What the caller ruled out is never committed. */
  assert(!rollbackOnly || !DECIDED_COMMIT)
}

/* What a participant does with a message. */

/* Fault 9: a repeated prepare gets the same vote. Fault 10: after a rollback that is no. */
inline prepare_again(branch) {
  if
  :: pPrepared & branch -> votesYes = votesYes | branch
  :: pCommitted & branch -> votesYes = votesYes | branch
  :: pReadOnly & branch -> votesReadOnly = votesReadOnly | branch
  :: else -> votesNo = votesNo | branch
  fi
}

/* Without the guard the call that brings the prepare is made once. */
inline take_prepare(branch) {
#ifdef UNGUARDED
  prepares = prepares & ~(branch)
#else
  skip
#endif
}

/* Fault 45: a commit at a participant without the prepared branch is a violation; repeats are not (rule 6). */
inline commit(branch) {
  assert((pPrepared | pCommitted) & branch);
  pPrepared = pPrepared & ~(branch);
  pCommitted = pCommitted | branch;
  commitAcks = commitAcks | branch
}

/* Rule 6, fault 11: a rollback of what was never prepared is done, and remembered. */
inline roll_back(branch) {
  assert(!(pCommitted & branch));
#ifdef UNGUARDED
  pRolledBack = pRolledBack | (pPrepared & branch);
#else
#ifdef M_NO_TOMBSTONE
  pRolledBack = pRolledBack | (pPrepared & branch);
#else
  pRolledBack = pRolledBack | ((pPrepared | IDLE) & branch);
#endif
#endif
  pPrepared = pPrepared & ~(branch)
}

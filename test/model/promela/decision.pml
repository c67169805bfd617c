/* C0: the decision, and the record that makes it durable. */

/* Rule 8: the caller is told once. */
inline tell(what) {
  if
  :: told == NOTHING -> told = what
  :: else
  fi
}

/* No branch owes anything any more. M8: only now may the end be recorded. */
inline end() {
  if
  :: DECIDED_ABORT -> state = ABORTED
  :: else -> assert(state == COMMITTING); state = COMMITTED; tell(TOLD_COMMITTED); ending = ending || HAS_RECORD
  fi
}

/* A sender of commit ignores answers to earlier messages. */
inline send_commit(branches) {
  commits = commits | (branches);
  commitAcks = commitAcks & ~(branches)
}

/* Rule 4, AC2: nothing but READY leads to commit, and nothing leads back. */
inline decide_commit() {
  assert(state == READY);
  state = COMMITTING;
  open = yes;
  if
  :: open == 0 -> end()
  :: else -> send_commit(open)
  fi
}

/* Rule 2, M6: rollback goes to every branch whose refusal is not proven, those still preparing as well. */
inline decide_abort() {
  assert(state == ACTIVE || state == PREPARING || state == READY);
#ifdef M_ROLLBACK_SKIPS_A_BRANCH
  open = (state == ACTIVE -> ALL : yes | awaiting);
#else
  open = ALL & ~(refused | readOnly);
#endif
  state = ABORTING;
  tell(TOLD_ABORTED);
  if
  :: open == 0 -> end()
  :: else -> rollbacks0 = rollbacks0 | open
  fi
}

/* Rule 1: every vote is in, and none forbids commit. Only a branch in doubt needs a record. */
inline all_voted() {
  assert(state == PREPARING);
  state = READY;
  if
  :: yes == 0 -> decide_commit()
  :: else ->
     appending = 1;
     named = yes;
#ifdef M_COMMIT_BEFORE_RECORD
     decide_commit()
#endif
  fi
}

inline hear_recorded() {
  if
  :: state == READY && !onePhase -> decide_commit()
  :: else
  fi
}

/* M2: an error of the log proves nothing: C0 claims afresh, then reads. M4: fenced, it may presume nothing. */
inline hear_log_error() {
#ifdef M_LOG_ERROR_IS_ABORT
  decide_abort()
#else
  if
  :: claim == BY_C1 ->
#ifdef M_FENCED_PRESUMES_ABORT
     decide_abort()
#else
     patience_ended()
#endif
  :: claim != BY_C1 && HAS_RECORD -> claim = BY_C0_AGAIN; decide_commit()
  :: else -> claim = BY_C0_AGAIN; decide_abort()
  fi
#endif
}

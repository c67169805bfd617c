/* C0: phase two, and its crash. */

/* A branch owes nothing any more. One that had ended, and was opened again by a late answer, is over once more. */
inline close(branch) {
  if
  :: open & branch ->
     open = open & ~(branch);
     stalled = stalled & ~(branch);
     if
     :: open == 0 && state != ABORTED -> end()
     :: else
     fi
  :: else
  fi
}

inline hear_committed(branch) {
  if
  :: late & branch
  :: else -> close(branch)
  fi
#ifdef M_END_BEFORE_ALL_ACKS
  ; ending = HAS_RECORD
#endif
}

/* The acknowledgement of an overtaken rollback closes nothing. */
inline hear_rolled_back0(branch) {
#ifdef M_OVERTAKEN_ACK_COUNTS
  close(branch)
#else
  if
  :: late & branch
  :: else -> close(branch)
  fi
#endif
}

inline hear_rolled_back1(branch) {
  if
  :: late & branch -> close(branch)
  :: else
  fi
}

/* Rule 5, fault 36: the decision stands, and the branch stays open. */
inline attempts_exhausted(branch) {
  if
  :: (state == READY -> awaiting : open) & ~stalled & (branch) ->
#ifdef M_EXHAUSTED_BECOMES_ABORT
     if
     :: DECIDED_COMMIT -> decide_abort()
     :: else
     fi;
#endif
     stalled = stalled | branch;
     if
     :: DECIDED_ABORT
     :: else -> tell(TOLD_PENDING)
     fi
  :: else
  fi
}

inline crash() {
  crashed = 1;
  state = ACTIVE;
  rollbackOnly = 0; onePhase = 0;
  awaiting = 0; yes = 0; readOnly = 0; refused = 0; late = 0; open = 0; stalled = 0
}

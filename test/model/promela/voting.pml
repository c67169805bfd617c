/* C0: phase one. */

/* Fault 4: the set of voters is closed by the step that starts the voting. */
inline enlist() {
#ifdef M_ENLIST_AFTER_VOTING
  size++
#else
  if
  :: state == ACTIVE -> size++
  :: else
  fi
#endif
}

inline rollback_only() {
  if
  :: state == ACTIVE -> rollbackOnly = 1
  :: else
  fi
}

/* Rule 7: one branch in all may decide by itself. */
#ifdef M_ONE_PHASE_WITH_TWO
#define MAY_BE_ONE_PHASE (size >= 1)
#else
#define MAY_BE_ONE_PHASE (size == 1)
#endif

inline request_commit(inOnePhase) {
  if
  :: state == ACTIVE && rollbackOnly -> decide_abort()
  :: state == ACTIVE && !rollbackOnly ->
     onePhase = inOnePhase && MAY_BE_ONE_PHASE;
     awaiting = ALL;
     state = PREPARING;
     if
     :: size == 0 -> all_voted()
     :: size > 0 && onePhase -> state = READY; onePhaseRequest = 1
     :: size > 0 && !onePhase -> prepares = ALL
     fi
  :: else
  fi
}

/* Fault 34: a rollback comes too late once the voting is over. */
inline request_rollback() {
  if
  :: state == ACTIVE || state == PREPARING -> decide_abort()
  :: else
  fi
}

/* Fault 33: once the voting is over a time-out decides nothing, and the caller hears "pending". */
inline patience_ended() {
  if
  :: state == READY || state == COMMITTING ->
#ifdef M_TIMEOUT_TOLD_AS_ABORT
     tell(TOLD_ABORTED)
#else
     tell(TOLD_PENDING)
#endif
  :: else
  fi
}

inline deadline_passed() {
  if
  :: state == ACTIVE || state == PREPARING -> decide_abort()
#ifdef M_ONE_PHASE_UNKNOWN_IS_ABORT
  :: IN_DOUBT -> awaiting = 0; stalled = 0; refused = 1; decide_abort()
  :: state > READY || (state == READY && !onePhase) -> patience_ended()
#else
  :: else -> patience_ended()
#endif
  fi
}

/* Rules 1 and 3: no vote in time is not a yes. */
inline prepare_timed_out(branch) {
  if
  :: state == PREPARING && (awaiting & branch) ->
#ifdef M_TIMEOUT_IS_YES
     awaiting = awaiting & ~(branch);
     yes = yes | branch;
     if
     :: awaiting == 0 -> all_voted()
     :: else
     fi
#else
     decide_abort()
#endif
  :: else
  fi
}

#define COUNTS(branch) ((awaiting & (branch)) && !onePhase)

/* Fault 19: the first answer of a branch counts, any further one is ignored. */
inline hear_yes(branch) {
  if
  :: COUNTS(branch) ->
     awaiting = awaiting & ~(branch);
     yes = yes | branch;
     if
     :: state == PREPARING && awaiting == 0 -> all_voted()
     :: state == PREPARING && awaiting != 0
     :: state != PREPARING -> hear_late_yes(branch)
     fi
  :: else
  fi
}

inline hear_read_only(branch) {
  if
  :: COUNTS(branch) ->
     awaiting = awaiting & ~(branch);
     readOnly = readOnly | branch;
     if
     :: state == PREPARING && awaiting == 0 -> all_voted()
     :: state == PREPARING && awaiting != 0
     :: state != PREPARING -> close(branch)
     fi
  :: else
  fi
}

inline hear_no(branch) {
  if
  :: COUNTS(branch) ->
     awaiting = awaiting & ~(branch);
     refused = refused | branch;
     if
#ifdef M_NO_LOST_AFTER_READ_ONLY
     :: state == PREPARING && readOnly && awaiting == 0 -> all_voted()
     :: state == PREPARING && readOnly && awaiting != 0
     :: state == PREPARING && !readOnly -> decide_abort()
#else
     :: state == PREPARING -> decide_abort()
#endif
     :: state != PREPARING -> close(branch)
     fi
  :: else
  fi
}

inline hear_none(branch) {
  if
  :: COUNTS(branch) ->
     awaiting = awaiting & ~(branch);
     if
     :: state == PREPARING -> decide_abort()
     :: else -> roll_back_again(branch)
     fi
  :: else
  fi
}

/* Rule 3, fault 18: a late yes changes no decision. */
inline hear_late_yes(branch) {
#ifdef M_LATE_YES_BELIEVED
  if
  :: (yes | readOnly) == ALL -> state = READY; appending = 1; named = yes
  :: else -> roll_back_again(branch)
  fi
#else
#ifdef M_LATE_YES_IGNORED
  skip
#else
  roll_back_again(branch)
#endif
#endif
}

/* Rule 3: the rollback sent before may have overtaken the prepare, so it is sent once more, in a second round. */
inline roll_back_again(branch) {
  late = late | branch;
  open = open | branch;
  stalled = stalled & ~(branch);
  rollbacks1 = rollbacks1 | branch
}

/* Fault 7: the only branch decided by itself. */
inline hear_one_phase() {
  if
  :: IN_DOUBT ->
     awaiting = 0;
     stalled = 0;
     if
     :: pCommitted & 1 ->
        assert(state == READY);
        state = COMMITTING;
        open = 0;
        end()
     :: else -> refused = 1; decide_abort()
     fi
  :: else
  fi
}

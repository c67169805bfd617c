/* What a coordinator does for transactions that are not its own, or may not be: sweeps, C1 and C2. */

/* M5, fault 52: a sweep leaves alone what was begun in a live epoch. */
inline sweep(branch) {
#ifdef M_LIVE_SWEEP
  if
  :: claim != BY_C1 && !HAS_RECORD -> strays = strays | branch
  :: else
  fi
#else
  skip
#endif
}

/* What the record names is restored, and is sent its commit once more. */
inline read_log(adopter, openAt) {
  if
#ifdef M_RECORD_NOT_RESTORED
  :: true -> adopter = PRESUMING
#else
  :: HAS_OUTCOME -> adopter = RESTORED;
#ifdef M_RESTORE_MISSES_A_BRANCH
     openAt = named & ~1;
#else
     openAt = named;
#endif
     send_commit(openAt)
  :: else -> adopter = PRESUMING
#endif
  fi
}

/* M4: it claims, then reads. The log of one coordinator does both in one step. */
inline take_over() {
  claim = BY_C1;
  read_log(second, openAtSecond)
}

/* M4: a member of a shared log fences, and reads in another step. */
inline fence(adopter) {
  claim = BY_C1;
  adopter = HAS_FENCED
}

/* Presumed abort: only the owner of the claim, only where no record was found, never of what may be alive. */
inline scan(branch) {
  strays = strays | branch
}

/* Fault 30: a coordinator that does not own the claim answers "wait". */
inline inquire_of_non_owner(branch) {
#ifdef M_ANYBODY_PRESUMES
  if
  :: !HAS_RECORD -> strays = strays | branch
  :: else
  fi
#else
  skip
#endif
}

/* Any member may answer from a shared log: abort only after a fence, and where neither a record nor an outcome is kept. */
inline inquire_of_any(branch) {
  if
#ifdef M_ANYBODY_PRESUMES
  :: !HAS_OUTCOME -> strays = strays | branch
#else
  :: claim == BY_C1 && !HAS_OUTCOME -> strays = strays | branch
#endif
  :: else
  fi
}

/* Fault 47: the end is recorded only after every acknowledgement. */
inline adopter_hears_committed(branch, openAt) {
  openAt = openAt & ~(branch);
  if
  :: openAt == 0 -> ending = ending || HAS_RECORD
  :: else
  fi
}

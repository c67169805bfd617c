/* What a coordinator does for transactions that are not its own, or may not be: sweeps, and C1. */

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

/* M4: it claims, then reads. What the record names is restored, and is sent its commit once more. */
inline take_over() {
  claim = BY_C1;
  if
#ifdef M_RECORD_NOT_RESTORED
  :: true -> second = PRESUMING
#else
  :: HAS_RECORD -> second = RESTORED;
#ifdef M_RESTORE_MISSES_A_BRANCH
     openAtSecond = named & ~1;
#else
     openAtSecond = named;
#endif
     send_commit(openAtSecond)
  :: else -> second = PRESUMING
#endif
  fi
}

/* Presumed abort: only the owner of the claim, only where no record was found, never of what may be alive. */
inline scan(branch) {
  strays = strays | branch
}

/* Fault 30: whoever does not own the claim answers "wait". */
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

/* Fault 47: the end is recorded only after every acknowledgement. */
inline second_hears_committed(branch) {
  openAtSecond = openAtSecond & ~(branch);
  if
  :: openAtSecond == 0 -> ending = ending || HAS_RECORD
  :: else
  fi
}

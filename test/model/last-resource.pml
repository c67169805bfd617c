/*
 * A transaction with a last resource, as the coordinators run it: the model for Spin.
 *
 * Two voters, the last resource, the coordinator C0 that begins the transaction, and C1: C0 recovered after a crash, or a member that
 * took over. It is the world of last-resource.ts, in a second text, and has as many states. Rules are numbered as in the design, M1
 * to M9 are the master rules of the matrix of faults.
 *
 * The rules of a last resource: it is called when all voters have voted commit and a durable record says that it decides; its commit is
 * called once, and then it is asked; a coordinator that reads that record waits for its answer, `committed` or `never`; the others commit
 * when the log has its commit.
 *
 *   -DM_...       a mutant: the protocol with one defect, which Spin must refute
 */
#define VOTERS 3
#define LAST   4
#define BIT(p) (1 << (p))

/* The states of a coordinator. */
#define ACTIVE     0
#define PREPARING  1
#define READY      2
#define COMMITTING 3
#define ABORTING   4
#define COMMITTED  5
#define ABORTED    6

/* What the caller was told. */
#define UNTOLD         0
#define TOLD_COMMITTED 1
#define TOLD_ABORTED   2
#define TOLD_PENDING   3

/* What the log holds: the record that names the branch that decides, then the commit, then that all is over. */
#define EMPTY   0
#define NAMED   1
#define DECIDED 2
#define OVER    3

/* How the key is at the resource. */
#define FREE  0
#define DONE  1
#define NEVER 2

/* C1: not there, found nothing and presumes abort, drives what it found. */
#define DOWN     0
#define PRESUMES 1
#define DRIVES   2

byte state[2], awaiting[2], yes[2], refused[2], late[2], open[2], stalled[2], told[2];
bit crashed, fenced, appending, calls, called;
byte adopter, confirming, record, resource;
byte prepared, committed, rolledBack, rollbacks, commits;

#define IS_UP(n)    ((n) == 0 -> !crashed : adopter == DRIVES)
#define IS_OVER(p)  ((committed | rolledBack) & BIT(p))
#define IS_ASKED(p) (!crashed && (awaiting[0] & BIT(p)))

/* Whether it is not known yet whether the record is in the log. */
#define AWAITS_RECORD(n)       (state[n] == READY && awaiting[n] == 0)
/* Whether the resource has committed, and the log has yet to take this. */
#define AWAITS_CONFIRMATION(n) (state[n] == COMMITTING && open[n] == 0)
/* Whether the resource was called, and has not said how it has ended. */
#define AWAITS_RESOURCE(n)     (state[n] == READY && awaiting[n] == LAST)

inline tell(n, what) {
  if
  :: told[n] == UNTOLD -> told[n] = what
  :: else
  fi
}

inline over() {
  if
  :: record != EMPTY -> record = OVER
  :: else
  fi
}

inline end(n) {
  if
  :: state[n] == ABORTING -> state[n] = ABORTED
  :: else -> assert(state[n] == COMMITTING); state[n] = COMMITTED; tell(n, TOLD_COMMITTED)
  fi;
  over()
}

inline close(n, branch) {
  if
  :: open[n] & branch ->
     open[n] = open[n] & ~(branch);
     stalled[n] = stalled[n] & ~(branch);
     if
     :: open[n] == 0 && (state[n] == COMMITTED || state[n] == ABORTED) -> over()
     :: open[n] == 0 && (state[n] == COMMITTING || state[n] == ABORTING) -> end(n)
     :: else
     fi
  :: else
  fi
}

/* A last resource is never rolled back: it was not called, or will never commit. */
inline decide_abort(n) {
  open[n] = VOTERS & ~(refused[n]);
  state[n] = ABORTING;
  tell(n, TOLD_ABORTED);
  if
  :: open[n] == 0 -> end(n)
  :: else -> rollbacks = rollbacks | open[n]
  fi
}

/* M1: the record is there, so the resource is called, once. */
inline hear_recorded() {
  if
  :: AWAITS_RECORD(0) -> awaiting[0] = LAST; calls = 1; called = 1
  :: else
  fi
}

inline all_voted() {
  state[0] = READY;
  appending = 1
#ifdef M_CALLED_BEFORE_RECORD
  ; hear_recorded()
#endif
}

inline hear_yes(branch) {
  awaiting[0] = awaiting[0] & ~(branch);
  yes[0] = yes[0] | branch;
  if
  :: state[0] != PREPARING -> hear_late(branch)
  :: state[0] == PREPARING && awaiting[0] == 0 -> all_voted()
  :: else
  fi
}

inline hear_no(branch) {
  awaiting[0] = awaiting[0] & ~(branch);
  refused[0] = refused[0] | branch;
  if
  :: state[0] == PREPARING -> decide_abort(0)
  :: else -> close(0, branch)
  fi
}

inline hear_none(branch) {
  awaiting[0] = awaiting[0] & ~(branch);
  if
  :: state[0] == PREPARING -> decide_abort(0)
  :: else -> hear_late(branch)
  fi
}

inline hear_late(branch) {
  late[0] = late[0] | branch;
  open[0] = open[0] | branch;
  stalled[0] = stalled[0] & ~(branch);
  rollbacks = rollbacks | branch
}

/* After a rollback it votes no. */
inline vote_yes(branch) {
  if
  :: rolledBack & branch -> hear_no(branch)
  :: else -> prepared = prepared | branch; hear_yes(branch)
  fi
}

inline lose_vote(branch) {
  prepared = prepared | (branch & ~rolledBack);
  hear_none(branch)
}

inline request_commit() {
  if
  :: state[0] == ACTIVE -> awaiting[0] = VOTERS; state[0] = PREPARING
  :: else
  fi
}

inline request_rollback() {
  if
  :: state[0] == ACTIVE || state[0] == PREPARING -> decide_abort(0)
  :: else
  fi
}

/* Once the voting is over a deadline decides nothing. */
inline deadline_passed() {
  if
  :: state[0] == ACTIVE || state[0] == PREPARING -> decide_abort(0)
  :: state[0] == READY || state[0] == COMMITTING -> tell(0, TOLD_PENDING)
  :: else
  fi
}

/* Rule 1: the log has its commit, so the others learn of it. */
inline hear_confirmed(n) {
  open[n] = yes[n] & VOTERS;
  commits = commits | open[n]
}

inline hear_committed(n) {
  if
  :: AWAITS_RESOURCE(n) ->
     awaiting[n] = 0;
     stalled[n] = 0;
     yes[n] = yes[n] | LAST;
     state[n] = COMMITTING;
     confirming = confirming | BIT(n)
#ifdef M_OTHERS_COMMIT_FIRST
     ; hear_confirmed(n)
#endif
  :: else
  fi
}

inline hear_never(n) {
  if
  :: AWAITS_RESOURCE(n) -> awaiting[n] = 0; stalled[n] = 0; refused[n] = LAST; decide_abort(n)
  :: else
  fi
}

inline hear_end(n) {
  if
  :: resource == DONE -> hear_committed(n)
  :: else -> hear_never(n)
  fi
}

/* `never` is a fence: from then on the resource refuses the call. */
inline inquire(n) {
#ifdef M_CALLED_AGAIN
  assert(resource != DONE);
  resource = DONE;
  hear_end(n)
#else
  if
#ifdef M_NOT_FOUND_IS_NEVER
  :: resource == FREE -> hear_never(n)
#else
  :: resource == FREE -> resource = NEVER; hear_end(n)
#endif
  :: else -> hear_end(n)
  fi
#endif
}

/* M4: it claims, then reads. */
inline take_over() {
  fenced = 1;
  if
  :: record == EMPTY -> adopter = PRESUMES
#ifdef M_NAMED_IS_PRESUMED
  :: record == NAMED -> adopter = PRESUMES
#else
  :: record == NAMED ->
     adopter = DRIVES; state[1] = READY; awaiting[1] = LAST; stalled[1] = LAST; yes[1] = VOTERS; told[1] = TOLD_PENDING
#endif
  :: record == DECIDED ->
     adopter = DRIVES; state[1] = COMMITTING; yes[1] = VOTERS; open[1] = VOTERS; stalled[1] = VOTERS; told[1] = TOLD_PENDING;
     commits = commits | VOTERS
  :: record == OVER -> adopter = DRIVES; state[1] = COMMITTED; yes[1] = VOTERS; told[1] = TOLD_PENDING
  fi
}

inline forget_all(n) {
  state[n] = ACTIVE; awaiting[n] = 0; yes[n] = 0; refused[n] = 0; late[n] = 0; open[n] = 0; stalled[n] = 0; told[n] = UNTOLD
}

/* Fault 30: a member answers from the log. It presumes abort only after a fence, where no record is; a record that names a branch is none. */
inline inquire_of_any(branch) {
  if
#ifdef M_NAMED_IS_NO_RECORD
  :: fenced && record <= NAMED -> rollbacks = rollbacks | branch
#else
  :: fenced && record == EMPTY -> rollbacks = rollbacks | branch
#endif
  :: record == DECIDED -> commits = commits | branch
  :: else
  fi
}

#define ABORTS(n) (state[n] == ABORTING || state[n] == ABORTED)

/* What holds in every state. */
inline check() {
  /* AC1: the voters end as the last resource has ended. */
  assert(!committed || resource == DONE);
  assert(!rolledBack || resource != DONE);
  assert(!(committed & rolledBack));
  /* Rule 1 and M1: the record precedes the call, and the commit in the log precedes that of another branch. */
  assert(!commits || record >= DECIDED);
  assert(resource != DONE || record >= NAMED);
  /* Told = actual. */
  assert(told[0] != TOLD_COMMITTED || resource == DONE);
  assert(told[0] != TOLD_ABORTED || (resource != DONE && (!calls || resource == NEVER)));
  assert(!ABORTS(0) || resource != DONE)
}

#define STEP(guard, action) :: d_step { (guard) -> action; check() }

#define VOTER(p)                                                                                                   \
  STEP(IS_ASKED(p), vote_yes(BIT(p)))                                                                              \
  STEP(IS_ASKED(p) && !(prepared & BIT(p)), hear_no(BIT(p)))                                                       \
  STEP(IS_ASKED(p), lose_vote(BIT(p)))                                                                             \
  STEP(commits & BIT(p), assert(!(rolledBack & BIT(p))); prepared = prepared & ~BIT(p); committed = committed | BIT(p))     \
  STEP(rollbacks & BIT(p), assert(!(committed & BIT(p))); prepared = prepared & ~BIT(p); rolledBack = rolledBack | BIT(p))  \
  STEP(IS_UP(0) && IS_OVER(p), close(0, BIT(p)))                                                                   \
  STEP(IS_UP(1) && IS_OVER(p), close(1, BIT(p)))                                                                   \
  STEP(adopter == PRESUMES && (prepared & BIT(p)), rollbacks = rollbacks | BIT(p))                                 \
  STEP(prepared & BIT(p), inquire_of_any(BIT(p)))

#ifdef M_SILENCE_IS_NEVER
#define SILENCE(n) STEP(IS_UP(n) && AWAITS_RESOURCE(n), hear_never(n))
#else
#define SILENCE(n)
#endif

#define COORDINATOR(n)                                                                                             \
  STEP(IS_UP(n) && AWAITS_RESOURCE(n), inquire(n))                                                                 \
  SILENCE(n)                                                                                                       \
  STEP((confirming & BIT(n)) && (n == 1 || !fenced) && record == NAMED, record = DECIDED)                          \
  STEP(IS_UP(n) && AWAITS_CONFIRMATION(n) && record >= DECIDED, hear_confirmed(n))

active proctype world() {
  do
  STEP(!crashed, request_commit())
  STEP(!crashed, request_rollback())
  STEP(!crashed, deadline_passed())
  STEP(!crashed, crashed = 1; forget_all(0))
  VOTER(0)
  VOTER(1)
  /* The log. */
  STEP(appending && !fenced && record == EMPTY, record = NAMED)
  STEP(!crashed && record != EMPTY, hear_recorded())
  STEP(!crashed && record == EMPTY && !fenced && AWAITS_RECORD(0), appending = 0; decide_abort(0))
  /* The last resource. */
  STEP(calls, calls = 0; resource = (resource == FREE -> DONE : resource))
  STEP(calls, calls = 0; resource = (resource == FREE -> NEVER : resource))
  STEP(!crashed && called && !calls && resource != FREE, hear_end(0))
  COORDINATOR(0)
  COORDINATOR(1)
  STEP(adopter == DOWN, take_over())
  STEP(adopter != DOWN, adopter = DOWN; confirming = confirming & 1; forget_all(1))
  od
}

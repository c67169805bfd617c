/*
 * Two-phase commit with presumed abort, as the coordinator runs it: the model for Spin.
 *
 * One transaction, up to N participants, the coordinator C0 that begins it (epoch 1), and C1 with a higher epoch: C0
 * recovered after a crash, or another that took over; C2 is another of the same kind. Rules are numbered as in the design, faults as in the matrix of
 * faults; M1 to M9 are the master rules of that matrix.
 *
 * Every step is one d_step, so a state of Spin is a state of this world. Sets of participants are bit sets. A message
 * stays on the network once it is sent: never delivered it is lost, delivered again it is repeated, and any may overtake
 * any other. A message that can change nothing any more is forgotten, so that states that behave alike are equal.
 *
 *   -DN=3         the most participants that may be enlisted, 1 to 3
 *   -DSHARED      three members share the log: C1 and C2 fence, then read, also after one another; any member answers
 *   -DUNGUARDED   participants without the guard: no tombstone, but a prepare is delivered at most once
 *   -DM_...       a mutant: the protocol with one defect, which Spin must refute
 */
#include "promela/world.pml"
#include "promela/decision.pml"
#include "promela/voting.pml"
#include "promela/completion.pml"
#include "promela/recovery.pml"
#include "promela/participant.pml"
#include "promela/properties.pml"

#define STEP(guard, action) :: d_step { (guard) -> action; forget(); check() }

/* What may happen to one participant and its branch. */
#define BRANCH(p)                                                                                                  \
  STEP(votesYes & BIT(p), hear_yes(BIT(p)))                                                                        \
  STEP(votesReadOnly & BIT(p), hear_read_only(BIT(p)))                                                             \
  STEP(votesNo & BIT(p), hear_no(BIT(p)))                                                                          \
  STEP(votesNone & BIT(p), hear_none(BIT(p)))                                                                      \
  STEP(!crashed && (commitAcks & BIT(p)), hear_committed(BIT(p)))                                                  \
  STEP(rollbackAcks0 & BIT(p), hear_rolled_back0(BIT(p)))                                                          \
  STEP(rollbackAcks1 & BIT(p), hear_rolled_back1(BIT(p)))                                                          \
  STEP(!crashed, prepare_timed_out(BIT(p)))                                                                        \
  STEP(!crashed, attempts_exhausted(BIT(p)))                                                                       \
  STEP(!crashed && (pPrepared & BIT(p)), sweep(BIT(p)))                                                            \
  /* Fault 13: it may be prepared although its answer is no vote; or not (fault 12). */                            \
  STEP(prepares & IDLE & BIT(p), take_prepare(BIT(p)); pPrepared = pPrepared | BIT(p); votesYes = votesYes | BIT(p))    \
  STEP(prepares & IDLE & BIT(p), take_prepare(BIT(p)); pPrepared = pPrepared | BIT(p); votesNone = votesNone | BIT(p))  \
  STEP(prepares & IDLE & BIT(p), take_prepare(BIT(p)); votesNone = votesNone | BIT(p))                             \
  STEP(prepares & IDLE & BIT(p), take_prepare(BIT(p)); pRefused = pRefused | BIT(p); votesNo = votesNo | BIT(p))   \
  STEP(prepares & IDLE & BIT(p), take_prepare(BIT(p)); pReadOnly = pReadOnly | BIT(p); votesReadOnly = votesReadOnly | BIT(p)) \
  STEP(prepares & ~IDLE & BIT(p), prepare_again(BIT(p)))                                                           \
  STEP(commits & BIT(p), commit(BIT(p)))                                                                           \
  STEP(rollbacks0 & BIT(p), roll_back(BIT(p)); rollbackAcks0 = rollbackAcks0 | BIT(p))                             \
  STEP(rollbacks1 & BIT(p), roll_back(BIT(p)); rollbackAcks1 = rollbackAcks1 | BIT(p))                             \
  STEP(strays & BIT(p), roll_back(BIT(p)))                                                                         \
  STEP(second == PRESUMING && (pPrepared & BIT(p)), scan(BIT(p)))                                                  \
  STEP(commitAcks & openAtSecond & BIT(p), adopter_hears_committed(BIT(p), openAtSecond))

#ifdef SHARED
#define BRANCH_ELSEWHERE(p)                                                                                        \
  STEP(third == PRESUMING && (pPrepared & BIT(p)), scan(BIT(p)))                                                   \
  STEP(commitAcks & openAtThird & BIT(p), adopter_hears_committed(BIT(p), openAtThird))                            \
  STEP(pPrepared & BIT(p), inquire_of_any(BIT(p)))
#else
#define BRANCH_ELSEWHERE(p)                                                                                        \
  STEP(second == DOWN && (pPrepared & BIT(p)), inquire_of_non_owner(BIT(p)))
#endif

/* A member of a shared log takes over, answers a caller, and crashes. */
#ifdef M_TRUSTS_LEASE
#define LEASE_STEP(adopter, openAt) STEP(adopter == DOWN, read_log(adopter, openAt))
#else
#define LEASE_STEP(adopter, openAt)
#endif
#ifdef M_READ_BEFORE_CLAIM
#define EARLY_STEPS(adopter)                                                                                       \
  STEP(adopter == DOWN && !HAS_RECORD, adopter = READ_TOO_EARLY)                                                   \
  STEP(adopter == READ_TOO_EARLY, claim = BY_C1; adopter = PRESUMING)
#else
#define EARLY_STEPS(adopter)
#endif
#define MEMBER(adopter, openAt)                                                                                    \
  STEP(adopter == DOWN, fence(adopter))                                                                            \
  STEP(adopter == HAS_FENCED, read_log(adopter, openAt))                                                           \
  STEP(adopter != DOWN, adopter = DOWN; openAt = 0)                                                                \
  STEP(asked == NOTHING && adopter == PRESUMING, asked = TOLD_ABORTED)                                             \
  STEP(asked == NOTHING && adopter == RESTORED, asked = TOLD_COMMITTED)                                            \
  LEASE_STEP(adopter, openAt)                                                                                      \
  EARLY_STEPS(adopter)

active proctype world() {
  do
  /* The caller, and time (rule 9: it may pass at any moment). */
  STEP(!crashed && size < N, enlist())
  STEP(!crashed, rollback_only())
  STEP(!crashed, request_commit(0))
#ifndef SHARED
  STEP(!crashed, request_commit(1))
#endif
  STEP(!crashed, request_rollback())
  STEP(!crashed, deadline_passed())
  STEP(!crashed, patience_ended())
  /* The log. */
  STEP(WILL_RECORD, recorded = 1)
  STEP(ending, ended = 1)
  STEP(!crashed && recorded, hear_recorded())
  STEP(!crashed && state == READY && !onePhase, hear_log_error())
  /* One-phase commit. */
  STEP(onePhaseRequest && (IDLE & 1), pCommitted = pCommitted | 1; onePhaseAnswer = 1)
  STEP(onePhaseRequest && (IDLE & 1), pRefused = pRefused | 1; onePhaseAnswer = 1)
  STEP(onePhaseRequest && !(IDLE & 1), onePhaseAnswer = 1)
  STEP(onePhaseAnswer, hear_one_phase())
  /* Crashes and takeover. */
  STEP(!crashed, crash())
#ifdef SHARED
  MEMBER(second, openAtSecond)
  MEMBER(third, openAtThird)
  STEP(asked == NOTHING && HAS_OUTCOME, asked = TOLD_COMMITTED)
  STEP(asked == NOTHING && claim == BY_C1 && !HAS_OUTCOME, asked = TOLD_ABORTED)
#else
  STEP(second == DOWN, take_over())
  STEP(second != DOWN, second = DOWN; openAtSecond = 0)
  EARLY_STEPS(second)
#endif
  /* The branches. */
  BRANCH(0)
  BRANCH_ELSEWHERE(0)
#if N > 1
  BRANCH(1)
  BRANCH_ELSEWHERE(1)
#endif
#if N > 2
  BRANCH(2)
  BRANCH_ELSEWHERE(2)
#endif
  od
}

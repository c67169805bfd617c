/* The variables that make up a state of the world, and what follows from them. */

#ifndef N
#define N 2
#endif

#define BIT(p) (1 << (p))
#define ALL    ((1 << size) - 1)

/* The states of C0. */
#define ACTIVE     0
#define PREPARING  1
#define READY      2
#define COMMITTING 3
#define ABORTING   4
#define COMMITTED  5
#define ABORTED    6
#define DECIDED_COMMIT (state == COMMITTING || state == COMMITTED)
#define DECIDED_ABORT  (state == ABORTING || state == ABORTED)

/* What the caller was told. */
#define NOTHING        0
#define TOLD_COMMITTED 1
#define TOLD_ABORTED   2
#define TOLD_PENDING   3

/* Who holds the claim in the log. */
#define BY_C0       0
#define BY_C0_AGAIN 1
#define BY_C1       2

/*
 * C1, and C2 where the log is shared: not there or crashed; found no record and presumes abort; found the record; (mutant)
 * read before it claimed; has fenced the epoch of C0 and has not read yet.
 */
#define DOWN           0
#define PRESUMING      1
#define RESTORED       2
#define READ_TOO_EARLY 3
#define HAS_FENCED     4

/* C0. Lost when it crashes, but for the number of those enlisted and what the caller heard. */
unsigned state : 3;
unsigned size : 2;
unsigned told : 2;
bit crashed;
bit rollbackOnly;
bit onePhase;
unsigned awaiting : 3;   /* prepare (or the one-phase commit) was sent and has not been answered */
unsigned yes : 3;
unsigned readOnly : 3;
unsigned refused : 3;
unsigned late : 3;       /* answered prepare only after the abort: completion is in its second round */
unsigned open : 3;       /* owes an acknowledgement of the decision */
unsigned stalled : 3;    /* used up its attempts */

/* C1, and which branches it waits for; and C2. */
unsigned second : 3;
unsigned openAtSecond : 3;
#ifdef SHARED
unsigned third : 3;
unsigned openAtThird : 3;
unsigned asked : 2;      /* what a caller has heard from another member */
#define OPEN_AT_ADOPTERS (openAtSecond | openAtThird)
#else
#define OPEN_AT_ADOPTERS openAtSecond
#endif

/* The log. */
unsigned claim : 2;
bit appending;           /* the commit record is on its way */
bit recorded;            /* the commit record is there, or was */
bit ending;              /* the end record is on its way */
bit ended;               /* the commit record is gone */
unsigned named : 3;      /* the branches that the record names */
#define HAS_RECORD (recorded && !ended)

/* Whether a reader of the log hears that the transaction is committed: a shared log keeps that after the end. */
#if defined(SHARED) && !defined(M_OUTCOME_FORGOTTEN)
#define HAS_OUTCOME recorded
#else
#define HAS_OUTCOME HAS_RECORD
#endif

/* The participants. */
unsigned pPrepared : 3;
unsigned pReadOnly : 3;
unsigned pRefused : 3;
unsigned pCommitted : 3;
unsigned pRolledBack : 3;
#define IDLE (ALL & ~(pPrepared | pReadOnly | pRefused | pCommitted | pRolledBack))

/* The network. */
unsigned prepares : 3;
unsigned votesYes : 3;
unsigned votesReadOnly : 3;
unsigned votesNo : 3;
unsigned votesNone : 3;  /* a throw, garbage: no vote at all */
unsigned commits : 3;
unsigned commitAcks : 3;
unsigned rollbacks0 : 3; /* rollbacks of the first round, of the second, and those not awaited */
unsigned rollbacks1 : 3;
unsigned rollbackAcks0 : 3;
unsigned rollbackAcks1 : 3;
unsigned strays : 3;
bit onePhaseRequest;
bit onePhaseAnswer;

/* M1: the log takes a record only of the claim that it knows, and only one. */
#ifdef M_OLD_EPOCH_APPENDS
#define WILL_RECORD (appending && !recorded)
#elif defined(M_OLD_INCARNATION_APPENDS)
#define WILL_RECORD (appending && claim != BY_C1 && !recorded)
#else
#define WILL_RECORD (appending && claim == BY_C0 && !recorded)
#endif

/* Who may turn out to hold something when a rollback arrives. */
#ifdef UNGUARDED
#define MAY_HOLD (pPrepared | pCommitted | (IDLE & prepares))
#else
#define MAY_HOLD (pPrepared | pCommitted | IDLE)
#endif

#define AWAITED      ((crashed || onePhase) -> 0 : awaiting)
#define COMMITS_OPEN ((DECIDED_COMMIT -> open : 0) | OPEN_AT_ADOPTERS)
#define ABORTS_OPEN  (DECIDED_ABORT -> open : 0)
#define IN_DOUBT     (state == READY && onePhase)

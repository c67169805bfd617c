import { Voted, includes } from '../../src/coordinator/protocol/index.js';
import { type Step, Violation } from './search.js';
import type { World } from './world.js';

const ANSWERS = [
  { name: 'prepares and votes commit', becomes: 'prepared', vote: Voted.COMMIT, isFault: false },
  { name: 'prepares, but its answer is no vote', becomes: 'prepared', vote: Voted.NONE, isFault: true },
  { name: 'does nothing, and its answer is no vote', becomes: undefined, vote: Voted.NONE, isFault: true },
  { name: 'refuses', becomes: 'refused', vote: Voted.ABORT, isFault: true },
  { name: 'only read, and says so', becomes: 'readOnly', vote: Voted.READ_ONLY, isFault: false },
] as const;

/** What a participant does when a message reaches it. */
export function participantSteps(p: number, guarded: boolean, faults: boolean): Step<World>[] {
  const bit = 1 << p;
  const isIdle = (w: World): boolean => includes(w.idle, p);
  const takePrepare = (w: World): void => {
    if (!guarded) w.prepares &= ~bit;
  };
  const answers = ANSWERS.filter(({ isFault }) => faults || !isFault);
  return [
    ...answers.map(({ name, becomes, vote, isFault }) => ({
      name: `participant ${p} gets prepare: it ${name}`,
      heals: !isFault,
      when: (w: World) => includes(w.prepares, p) && isIdle(w),
      take: (w: World) => {
        takePrepare(w);
        if (becomes !== undefined) w[becomes] |= bit;
        w.votes[vote] |= bit;
      },
    })),
    {
      name: `participant ${p} gets prepare again, and answers as before`,
      heals: true,
      when: (w) => includes(w.prepares, p) && !isIdle(w),
      take: (w) => void (w.votes[voteAgain(w, bit)] |= bit),
    },
    {
      name: `participant ${p} gets commit`,
      heals: true,
      when: (w) => includes(w.commits, p),
      take: (w) => {
        if (((w.prepared | w.committed) & bit) === 0) {
          throw new Violation(`participant ${p} is told to commit what it does not hold (fault 45)`);
        }
        w.prepared &= ~bit;
        w.committed |= bit;
        w.commitAcks |= bit;
      },
    },
    ...([0, 1] as const).map((round) => ({
      name: `participant ${p} gets rollback, round ${round}`,
      heals: true,
      when: (w: World) => includes(w.rollbacks[round], p),
      take: (w: World) => {
        rollBack(w, p);
        w.rollbackAcks[round] |= bit;
      },
    })),
    {
      name: `participant ${p} gets a rollback whose acknowledgement is not awaited`,
      heals: true,
      when: (w) => includes(w.strayRollbacks, p),
      take: (w) => rollBack(w, p),
    },
  ];
}

/** What the only participant does when it is asked to decide by itself. */
export function onePhaseSteps(faults: boolean): Step<World>[] {
  const isAsked = (w: World): boolean => w.onePhaseRequest;
  const steps: Step<World>[] = [
    {
      name: 'participant 0 commits in one phase',
      heals: true,
      when: (w) => isAsked(w) && includes(w.idle, 0),
      take: (w) => {
        w.committed |= 1;
        w.onePhaseAnswer = true;
      },
    },
    {
      name: 'participant 0 is asked again to commit in one phase, and answers as before',
      heals: true,
      when: (w) => isAsked(w) && !includes(w.idle, 0),
      take: (w) => void (w.onePhaseAnswer = true),
    },
  ];
  if (faults) {
    steps.push({
      name: 'participant 0 refuses to commit in one phase',
      heals: false,
      when: (w) => isAsked(w) && includes(w.idle, 0),
      take: (w) => {
        w.refused |= 1;
        w.onePhaseAnswer = true;
      },
    });
  }
  return steps;
}

function voteAgain(w: World, bit: number): Voted {
  if (((w.prepared | w.committed) & bit) !== 0) return Voted.COMMIT;
  return (w.readOnly & bit) !== 0 ? Voted.READ_ONLY : Voted.ABORT;
}

/** A rollback of what was never prepared leaves a tombstone, if the participant is guarded. */
function rollBack(w: World, p: number): void {
  const bit = 1 << p;
  if (includes(w.committed, p)) {
    throw new Violation(`participant ${p} is told to roll back what it has committed (fault 45)`);
  }
  const remembers = w.options.guarded && w.options.defect !== 'no tombstone';
  const reached = remembers ? w.prepared | w.idle : w.prepared;
  w.rolledBack |= reached & bit;
  w.prepared &= ~bit;
}

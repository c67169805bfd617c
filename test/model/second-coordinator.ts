import {
  ACTIVE,
  COMMITTED,
  type ProtocolEffects,
  type ProtocolTransaction,
  acknowledged,
  includes,
  presume,
  restoreCommitted,
} from '../../src/coordinator/protocol/index.js';
import { type Step, Violation } from './search.js';
import { CLAIM_SECOND, DOWN, PRESUMING, READ_TOO_EARLY, RESTORED, type World } from './world.js';

/** A restored transaction only waits for acknowledgements: of all effects the core may ask for its end alone. */
class SecondEffects implements ProtocolEffects<ProtocolTransaction> {
  hasEnded = false;

  entered(): void {}
  ended(): void {
    this.hasEnded = true;
  }
  readonly prepare = never;
  readonly commitOnePhase = never;
  readonly record = never;
  readonly cancel = never;
  readonly commit = never;
  readonly rollback = never;
  readonly tell = never;
  readonly stalled = never;
}

function never(): never {
  throw new Violation('a restored transaction does more than to complete its branches');
}

/** The coordinator with the higher epoch. It claims and crashes as often as it likes. */
export function secondCoordinatorSteps(defect: World['options']['defect']): Step<World>[] {
  const steps: Step<World>[] = [
    {
      name: 'C1 claims, then reads the log',
      heals: true,
      when: (w) => w.secondMode === DOWN && defect !== 'nobody recovers',
      take: (w) => {
        w.claim = CLAIM_SECOND;
        if (w.hasRecord && defect !== 'a record found is not restored') restore(w);
        else w.secondMode = PRESUMING;
      },
    },
    {
      name: 'C1 crashes',
      heals: false,
      when: (w) => w.secondMode !== DOWN,
      take: (w) => void (w.secondMode = DOWN),
    },
  ];
  if (defect === 'recovery reads before it claims') {
    steps.push(
      {
        name: 'C1 reads that there is no record',
        heals: false,
        when: (w) => w.secondMode === DOWN && !w.hasRecord,
        take: (w) => void (w.secondMode = READ_TOO_EARLY),
      },
      {
        name: 'C1 claims, and believes what it read before',
        heals: false,
        when: (w) => w.secondMode === READ_TOO_EARLY,
        take: (w) => {
          w.claim = CLAIM_SECOND;
          w.secondMode = PRESUMING;
        },
      },
    );
  }
  return steps;
}

export function secondCoordinatorBranchSteps(p: number, defect: World['options']['defect']): Step<World>[] {
  return [
    {
      name: `C1 scans, and finds participant ${p} prepared`,
      heals: true,
      when: (w) => w.secondMode === PRESUMING && includes(w.prepared, p),
      take: (w) => answer(w, p, true),
    },
    {
      name: `participant ${p} inquires of C1, which has not claimed`,
      heals: false,
      when: (w) => w.secondMode === DOWN && includes(w.prepared, p),
      take: (w) => answer(w, p, defect === 'any coordinator presumes abort'),
    },
    {
      name: `C1 hears that branch ${p} has committed`,
      heals: true,
      when: (w) => includes(w.commitAcks & w.openAtSecond, p),
      take: (w) => {
        const effects = new SecondEffects();
        acknowledged(w.second, p, 0, effects);
        if (effects.hasEnded !== (w.second.state === COMMITTED)) never();
        w.ending ||= effects.hasEnded && w.hasRecord;
      },
    },
  ];
}

function restore(w: World): void {
  w.secondMode = RESTORED;
  // One object stands for the second coordinator of every world, and a transaction is restored as a new one.
  w.second.state = ACTIVE;
  restoreCommitted(w.second, w.size, w.named);
  w.sendCommit(w.second.open);
}

/** What a scan says to a branch in doubt. What is committed is delivered to all, so that need not be said twice. */
function answer(w: World, p: number, owns: boolean): void {
  // A scan of one that presumes read the log after the claim, and found nothing.
  const recorded = w.secondMode === DOWN && w.hasRecord;
  if (presume({ owns, recorded, begunInThisEpoch: false }) === 'abort') w.strayRollbacks |= 1 << p;
}

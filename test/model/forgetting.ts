import { State, Voted, isAbort, isCommit, isDecidedByBranch } from '../../src/coordinator/protocol/index.js';
import type { World } from './world.js';

/**
 * Takes from the network every message whose delivery, now or ever after, could change nothing. Two states
 * that differ by such messages alone behave alike, so the search may take them for one. Message by message:
 *
 * - a vote of a branch that is not awaited: no branch is ever awaited again;
 * - an acknowledgement of a branch that is not open, or of an overtaken round: when a branch is opened again,
 *   by a late answer or by a recovery, its completion is sent again and acknowledged again;
 * - a rollback whose acknowledgement is not awaited becomes a stray one, whichever coordinator sent it, and a
 *   stray one is forgotten when the participant holds nothing and never will;
 * - a rollback, a commit or a prepare that its participant would, in every case, answer as it did before,
 *   when that answer is still on the network or is not awaited;
 * - a one-phase request that would be answered in the same way, and its answer when it is not awaited;
 * - an append that the log will refuse, and an end of what has ended.
 *
 * A message whose delivery is a violation always stays.
 */
export function forget(w: World): void {
  const { first, options } = w;
  const alive = !w.crashed;
  const { awaited, idle } = w;
  for (const kind of [Voted.COMMIT, Voted.READ_ONLY, Voted.ABORT, Voted.NONE] as const)
    w.votes[kind] &= awaited;
  forgetPrepares(w, awaited, idle);

  const openAtFirst = alive ? first.open : 0;
  const commitsOpen = (isCommit(first.state) ? openAtFirst : 0) | w.openAtAdopters;
  w.commitAcks &= commitsOpen;
  w.commits &= ~w.committed | (commitsOpen & ~w.commitAcks);

  const rollbacksOpen = isAbort(first.state) ? openAtFirst : 0;
  const countsOvertaken = options.defect === 'the acknowledgement of an overtaken rollback counts';
  const mayHold = w.prepared | w.committed | (options.guarded ? idle : idle & w.prepares);
  for (const round of [0, 1] as const) {
    const current = rollbacksOpen & (round === 0 ? ~first.late : first.late);
    w.rollbackAcks[round] &= countsOvertaken ? rollbacksOpen : current;
    w.strayRollbacks |= w.rollbacks[round] & ~current;
    w.rollbacks[round] &= current & (mayHold | ~w.rollbackAcks[round]);
  }
  w.strayRollbacks &= mayHold;

  const awaitsOnePhase = alive && first.state === State.READY && isDecidedByBranch(first);
  w.onePhaseAnswer &&= awaitsOnePhase;
  w.onePhaseRequest &&= (idle & 1) !== 0 || (awaitsOnePhase && !w.onePhaseAnswer);

  w.appending = w.willRecord;
  w.ending &&= !w.ended;
  if (!w.appending && !w.hasRecord) w.named = 0;
}

function forgetPrepares(w: World, awaited: number, idle: number): void {
  if (!w.options.guarded) {
    w.prepares &= idle;
    return;
  }
  const repeated =
    (w.readOnly & w.votes[Voted.READ_ONLY]) | ((w.refused | w.rolledBack) & w.votes[Voted.ABORT]);
  w.prepares &= idle | (awaited & ~repeated);
}

import {
  type BranchSet,
  Branches,
  Decider,
  State,
  Voted,
  restoreCommitted,
} from '../../src/coordinator/protocol/index.js';
import { sortParts } from './symmetry.js';
import { type Adopter, RESTORED, type World } from './world.js';

/** How many sets of participants a world has, and so how many bits each participant. */
const SETS = 27;

/** Packs a world into one word for what is common and one for each participant; all of them positive. */
export function packWorld(w: World, words: Int32Array, at: number): void {
  const { first } = w;
  const [second, third] = w.adopters;
  words[at] =
    first.state |
    (w.size << 3) |
    (w.told << 5) |
    (w.claim << 8) |
    (second!.mode << 10) |
    (Number(first.rollbackOnly) << 13) |
    (Number(first.decider !== Decider.LOG) << 14) |
    (Number(w.crashed) << 15) |
    (Number(w.appending) << 16) |
    (Number(w.recorded) << 17) |
    (Number(w.ending) << 18) |
    (Number(w.ended) << 19) |
    (Number(w.onePhaseRequest) << 20) |
    (Number(w.onePhaseAnswer) << 21) |
    ((third?.mode ?? 0) << 22) |
    (w.asked << 25);
  const openAtSecond = second!.open;
  const openAtThird = third?.open ?? Branches.NONE;
  for (let p = 0; p < w.options.participants; p++) {
    words[at + 1 + p] =
      ((w.prepared >> p) & 1) |
      (((w.readOnly >> p) & 1) << 1) |
      (((w.refused >> p) & 1) << 2) |
      (((w.committed >> p) & 1) << 3) |
      (((w.rolledBack >> p) & 1) << 4) |
      (((first.awaiting >> p) & 1) << 5) |
      (((first.yes >> p) & 1) << 6) |
      (((first.readOnly >> p) & 1) << 7) |
      (((first.refused >> p) & 1) << 8) |
      (((first.late >> p) & 1) << 9) |
      (((first.open >> p) & 1) << 10) |
      (((first.stalled >> p) & 1) << 11) |
      (((openAtSecond >> p) & 1) << 12) |
      (((w.named >> p) & 1) << 13) |
      (((w.prepares >> p) & 1) << 14) |
      (((w.votes[Voted.COMMIT] >> p) & 1) << 15) |
      (((w.votes[Voted.READ_ONLY] >> p) & 1) << 16) |
      (((w.votes[Voted.ABORT] >> p) & 1) << 17) |
      (((w.votes[Voted.NONE] >> p) & 1) << 18) |
      (((w.commits >> p) & 1) << 19) |
      (((w.commitAcks >> p) & 1) << 20) |
      (((w.rollbacks[0] >> p) & 1) << 21) |
      (((w.rollbacks[1] >> p) & 1) << 22) |
      (((w.rollbackAcks[0] >> p) & 1) << 23) |
      (((w.rollbackAcks[1] >> p) & 1) << 24) |
      (((w.strayRollbacks >> p) & 1) << 25) |
      (((openAtThird >> p) & 1) << 26);
  }
}

/** Where the bits of each participant are gathered again, each set of participants in its place. */
const sets = new Int32Array(SETS);

export function unpackWorld(words: Int32Array, at: number, w: World): void {
  const { first } = w;
  const [second, third] = w.adopters;
  sets.fill(Branches.NONE);
  for (let p = 0; p < w.options.participants; p++) {
    for (let word = words[at + 1 + p]!; word !== 0; word &= word - 1) {
      const bit = 31 - Math.clz32(word & -word);
      sets[bit] = sets[bit]! | (1 << p);
    }
  }
  const word = words[at]!;
  w.size = (word >> 3) & 3;
  w.told = (word >> 5) & 7;
  w.claim = (word >> 8) & 3;
  w.crashed = ((word >> 15) & 1) === 1;
  w.appending = ((word >> 16) & 1) === 1;
  w.recorded = ((word >> 17) & 1) === 1;
  w.ending = ((word >> 18) & 1) === 1;
  w.ended = ((word >> 19) & 1) === 1;
  w.onePhaseRequest = ((word >> 20) & 1) === 1;
  w.onePhaseAnswer = ((word >> 21) & 1) === 1;
  w.asked = (word >> 25) & 7;

  first.state = word & 7;
  first.size = w.size;
  first.rollbackOnly = ((word >> 13) & 1) === 1;
  first.decider = ((word >> 14) & 1) === 1 ? 0 : Decider.LOG;
  first.told = w.told;

  w.prepared = sets[0]!;
  w.readOnly = sets[1]!;
  w.refused = sets[2]!;
  w.committed = sets[3]!;
  w.rolledBack = sets[4]!;
  first.awaiting = sets[5]!;
  first.yes = sets[6]!;
  first.readOnly = sets[7]!;
  first.refused = sets[8]!;
  first.late = sets[9]!;
  first.open = sets[10]!;
  first.stalled = sets[11]!;
  unpackAdopter(second!, (word >> 10) & 7, w.size, sets[12]!);
  if (third !== undefined) unpackAdopter(third, (word >> 22) & 7, w.size, sets[26]!);
  w.named = sets[13]!;
  w.prepares = sets[14]!;
  w.votes[Voted.COMMIT] = sets[15]!;
  w.votes[Voted.READ_ONLY] = sets[16]!;
  w.votes[Voted.ABORT] = sets[17]!;
  w.votes[Voted.NONE] = sets[18]!;
  w.commits = sets[19]!;
  w.commitAcks = sets[20]!;
  w.rollbacks[0] = sets[21]!;
  w.rollbacks[1] = sets[22]!;
  w.rollbackAcks[0] = sets[23]!;
  w.rollbackAcks[1] = sets[24]!;
  w.strayRollbacks = sets[25]!;
}

/**
 * Its branches have been stalled since it was restored, and one that has acknowledged owes nothing any more.
 * One object stands for the adopter in every world, and a transaction is restored as a new one.
 */
function unpackAdopter(adopter: Adopter, mode: number, size: number, open: BranchSet): void {
  adopter.mode = mode;
  if (mode !== RESTORED) return;
  adopter.transaction.state = State.ACTIVE;
  restoreCommitted(adopter.transaction, size, open);
}

/** Those enlisted have no names: only what happened to them tells them apart. */
export function canonicaliseWorld(words: Int32Array, at: number): number {
  return sortParts(words, at + 1, (words[at]! >> 3) & 3);
}

import { type Model, type Step, Violation } from './search.js';
import { sortParts } from './symmetry.js';

const WORKING = 0;
const PREPARED = 1;
const COMMITTED = 2;
const ABORTED = 3;
const NAMES = ['working', 'prepared', 'committed', 'aborted'] as const;

/** The state of Lamport's specification: its variables, and the set of messages sent. */
export interface TwoPhaseState {
  readonly managers: number[];
  /** The transaction manager: 0 init, 1 committed, 2 aborted. */
  coordinator: number;
  /** The resource managers that the transaction manager knows to be prepared. */
  known: number;
  /** The resource managers that sent "prepared". */
  sent: number;
  commitSent: boolean;
  abortSent: boolean;
}

/**
 * Two-phase commit as in the TLA+ module TwoPhase of Gray and Lamport, "Consensus on Transaction Commit",
 * appendix A. The numbers of its states are known (288 for 3 resource managers, 50,816 for 6), so it
 * calibrates the search.
 */
export function twoPhase(size: number): Model<TwoPhaseState> {
  const all = (1 << size) - 1;
  const steps: Step<TwoPhaseState>[] = [
    {
      name: 'the transaction manager commits',
      heals: false,
      when: (s) => s.coordinator === 0 && s.known === all,
      take: (s) => {
        s.coordinator = 1;
        s.commitSent = true;
      },
    },
    {
      name: 'the transaction manager aborts',
      heals: true,
      when: (s) => s.coordinator === 0,
      take: (s) => {
        s.coordinator = 2;
        s.abortSent = true;
      },
    },
  ];
  for (let rm = 0; rm < size; rm++) steps.push(...stepsOf(rm));
  return {
    width: 1 + size,
    steps,
    create: () => ({
      managers: Array.from({ length: size }, () => WORKING),
      coordinator: 0,
      known: 0,
      sent: 0,
      commitSent: false,
      abortSent: false,
    }),
    pack: (s, words, at) => {
      words[at] = s.coordinator | (Number(s.commitSent) << 2) | (Number(s.abortSent) << 3);
      for (let rm = 0; rm < size; rm++) {
        words[at + 1 + rm] = s.managers[rm]! | (((s.known >> rm) & 1) << 2) | (((s.sent >> rm) & 1) << 3);
      }
    },
    unpack: (words, at, s) => {
      const word = words[at]!;
      s.coordinator = word & 3;
      s.commitSent = (word & 4) !== 0;
      s.abortSent = (word & 8) !== 0;
      s.known = 0;
      s.sent = 0;
      for (let rm = 0; rm < size; rm++) {
        const manager = words[at + 1 + rm]!;
        s.managers[rm] = manager & 3;
        s.known |= ((manager >> 2) & 1) << rm;
        s.sent |= ((manager >> 3) & 1) << rm;
      }
    },
    canonicalise: (words, at) => sortParts(words, at + 1, size),
    check: (s) => {
      if (s.managers.includes(COMMITTED) && s.managers.includes(ABORTED)) {
        throw new Violation('TCConsistent: one resource manager committed and another aborted');
      }
    },
    isDecided: (s) => s.managers.every((manager) => manager === COMMITTED || manager === ABORTED),
  };
}

function stepsOf(rm: number): Step<TwoPhaseState>[] {
  const bit = 1 << rm;
  const becomes = (manager: number, isMayHappen: (s: TwoPhaseState) => boolean): Step<TwoPhaseState> => ({
    name: `resource manager ${rm} is ${NAMES[manager]}`,
    heals: true,
    when: isMayHappen,
    take: (s) => {
      s.managers[rm] = manager;
      if (manager === PREPARED) s.sent |= bit;
    },
  });
  return [
    {
      name: `the transaction manager hears that ${rm} is prepared`,
      heals: true,
      when: (s) => s.coordinator === 0 && (s.sent & bit) !== 0,
      take: (s) => void (s.known |= bit),
    },
    becomes(PREPARED, (s) => s.managers[rm] === WORKING),
    becomes(ABORTED, (s) => s.managers[rm] === WORKING),
    becomes(COMMITTED, (s) => s.commitSent),
    becomes(ABORTED, (s) => s.abortSent),
  ];
}

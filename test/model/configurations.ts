/** One world to be searched, with the number of its states: the search and Spin find the same. */
export interface Configuration {
  /** The most participants; every smaller number is part of the same world. */
  readonly participants: number;
  readonly guarded: boolean;
  readonly states: number;
}

/** A count that changes without a change of the protocol or of the world is a defect of the search. */
export const CONFIGURATIONS: readonly Configuration[] = [
  { participants: 0, guarded: true, states: 24 },
  { participants: 1, guarded: true, states: 843 },
  { participants: 2, guarded: true, states: 51_063 },
  { participants: 3, guarded: true, states: 5_491_705 },
  { participants: 0, guarded: false, states: 24 },
  { participants: 1, guarded: false, states: 707 },
  { participants: 2, guarded: false, states: 27_122 },
  { participants: 3, guarded: false, states: 1_947_773 },
];

/** The largest world takes as long as all others together: `npm run test:model` searches it too, and `test:ci` with it. */
export const CONFIGURATIONS_IN_TESTS = CONFIGURATIONS.filter(
  ({ participants, guarded }) => participants < 3 || !guarded,
);

export function describeConfiguration({ participants, guarded }: Configuration): string {
  return `up to ${participants} participants, ${guarded ? 'guarded' : 'unguarded'}`;
}

/** One world to be searched, with the number of its states: the search and Spin find the same. */
export interface Configuration {
  /** The most participants; every smaller number is part of the same world. */
  readonly participants: number;
  readonly guarded: boolean;
  /** Whether three members share the log. */
  readonly shared: boolean;
  readonly states: number;
}

/** A count that changes without a change of the protocol or of the world is a defect of the search. */
export const CONFIGURATIONS: readonly Configuration[] = [
  { participants: 0, guarded: true, shared: false, states: 24 },
  { participants: 1, guarded: true, shared: false, states: 843 },
  { participants: 2, guarded: true, shared: false, states: 51_063 },
  { participants: 3, guarded: true, shared: false, states: 5_491_705 },
  { participants: 0, guarded: false, shared: false, states: 24 },
  { participants: 1, guarded: false, shared: false, states: 707 },
  { participants: 2, guarded: false, shared: false, states: 27_122 },
  { participants: 3, guarded: false, shared: false, states: 1_947_773 },
  { participants: 0, guarded: true, shared: true, states: 152 },
  { participants: 1, guarded: true, shared: true, states: 5_529 },
  { participants: 2, guarded: true, shared: true, states: 364_578 },
  { participants: 0, guarded: false, shared: true, states: 152 },
  { participants: 1, guarded: false, shared: true, states: 4_609 },
  { participants: 2, guarded: false, shared: true, states: 196_749 },
];

/**
 * The largest worlds take longer than all others together: `npm run test:model` searches them too, and
 * `test:ci` with it.
 */
export const CONFIGURATIONS_IN_TESTS = CONFIGURATIONS.filter(({ participants, shared }) =>
  shared ? participants < 2 : participants < 3,
);

/** The worlds in which a defect is looked for, with two participants each. */
export const DEFECT_WORLDS = [
  { guarded: true, shared: false },
  { guarded: false, shared: false },
  { guarded: true, shared: true },
] as const;

export function describeConfiguration({ participants, guarded, shared }: Configuration): string {
  const world = `up to ${participants} participants, ${guarded ? 'guarded' : 'unguarded'}`;
  return shared ? `${world}, with three members` : world;
}

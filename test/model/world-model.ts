import { IllegalTransitionError, isAbort, isCommit } from '../../src/coordinator/protocol/index.js';
import { adopterBranchSteps, adopterSteps } from './adopters.js';
import {
  firstCoordinatorBranchFaults,
  firstCoordinatorBranchSteps,
  firstCoordinatorFaults,
  firstCoordinatorSteps,
} from './first-coordinator.js';
import { forget } from './forgetting.js';
import { checkWorld } from './invariants.js';
import { logSteps } from './log.js';
import { onePhaseSteps, participantSteps } from './participant.js';
import { type Model, type Step, Violation } from './search.js';
import { canonicaliseWorld, packWorld, unpackWorld } from './packing.js';
import { World, type WorldOptions } from './world.js';

/**
 * The world as the search sees it: each step is one of the steps listed, and then whatever is of no use is
 * forgotten.
 */
export function worldModel(options: WorldOptions): Model<World> {
  const { participants, guarded, faults = true, forgetting = true } = options;
  const indexes = Array.from({ length: participants }, (_, index) => index);
  const steps = [
    ...firstCoordinatorSteps(options),
    ...logSteps(),
    ...indexes.flatMap(firstCoordinatorBranchSteps),
    ...indexes.flatMap((p) => participantSteps(p, guarded, faults)),
    ...(participants > 0 && options.shared !== true ? onePhaseSteps(faults) : []),
  ];
  if (faults) {
    steps.push(
      ...firstCoordinatorFaults(),
      ...indexes.flatMap(firstCoordinatorBranchFaults),
      ...adopterSteps(options),
      ...indexes.flatMap((p) => adopterBranchSteps(p, options)),
    );
  }
  return {
    width: 1 + participants,
    steps: steps.map((step) => watched(step, forgetting)),
    create: () => new World(options),
    pack: packWorld,
    unpack: unpackWorld,
    canonicalise: canonicaliseWorld,
    check: checkWorld,
    isDecided,
  };
}

/** AC2: no step reverses a decision, the coordinator's or a participant's. */
function watched(step: Step<World>, forgetting: boolean): Step<World> {
  return {
    ...step,
    take: (w) => {
      const { committed, rolledBack, refused, readOnly, first } = w;
      const { state } = first;
      attempt(step, w);
      const isKept =
        (committed & ~w.committed) === 0 &&
        (rolledBack & ~w.rolledBack) === 0 &&
        (refused & ~w.refused) === 0 &&
        (readOnly & ~w.readOnly) === 0 &&
        (w.crashed ||
          ((!isCommit(state) || isCommit(first.state)) && (!isAbort(state) || isAbort(first.state))));
      if (!isKept) throw new Violation('AC2: a decision is never reversed');
      if (forgetting) forget(w);
    },
  };
}

/** The core checks each of its transitions by itself. */
function attempt(step: Step<World>, w: World): void {
  try {
    step.take(w);
  } catch (error) {
    throw error instanceof IllegalTransitionError ? new Violation(error.message) : error;
  }
}

/** AC5: every participant is decided, and nothing on its way to one that is idle could change that. */
function isDecided(w: World): boolean {
  return w.prepared === 0 && (w.idle & w.prepares) === 0 && !(w.onePhaseRequest && w.idle !== 0);
}

import { type CoordinatorOptions, resolveCoordinatorOptions } from '../coordinator.options.js';
import type { Clock } from '../execution/clock.js';
import { CoordinatorRuntime } from '../execution/coordinator-runtime.js';
import type { TransactionObserver } from '../execution/observer.js';
import type { DecisionLog, LogClaim } from '../log/decision-log.js';
import { Membership } from '../membership/membership.js';
import { MemoryDecisionLog } from '../log/memory-decision-log.js';
import { ParticipantRegistry } from '../participant/participant.registry.js';
import type { LastResource } from '../participant/last-resource.js';
import type { TransactionParticipant } from '../participant/participant.js';
import { Recovery } from '../recovery/recovery.js';
import { TransactionManager } from '../transaction-manager.js';
import { ManualClock } from './manual-clock.js';

/** The options of a test coordinator. @publicApi */
export interface TestCoordinatorOptions<C extends Clock = ManualClock> extends CoordinatorOptions {
  /** By name. More participants can be registered later. */
  readonly participants?: Readonly<Record<string, TransactionParticipant>>;
  /** The participants that cannot prepare, by name. */
  readonly lastResources?: Readonly<Record<string, LastResource>>;
  /** @default a ManualClock */
  readonly clock?: C;
  /** @default always 0.5 */
  readonly random?: () => number;
  /** Stores the commit decisions. @default a MemoryDecisionLog */
  readonly log?: DecisionLog;
  /** The result of opening the log, for a log that opens asynchronously. @default it is opened at once */
  readonly claim?: LogClaim;
  /** @internal */
  readonly observer?: TransactionObserver;
}

/**
 * A whole coordinator without a Nest application: the manager, the registry and a clock that the test moves.
 *
 * @publicApi
 */
export interface TestCoordinator<C extends Clock = ManualClock> {
  readonly transactions: TransactionManager;
  readonly participants: ParticipantRegistry;
  readonly clock: C;
  /** One pass of the recovery job. */
  readonly recover: () => Promise<void>;
  /** One sweep of the deadlines. A ManualClock triggers it by itself. */
  readonly sweep: () => void;
  /** @internal */
  readonly runtime: CoordinatorRuntime;
  /** The membership, where its log is shared. @internal */
  readonly membership: Membership | undefined;
}

const SILENT: TransactionObserver = {
  entered() {},
  prepareFailed() {},
  lateAnswer() {},
  attemptFailed() {},
  stalled() {},
  heuristic() {},
  recordUnknown() {},
  fenced() {},
  notNoted() {},
  orphan() {},
  scanFailed() {},
  undecidable() {},
  told() {},
  ended() {},
  defect(error) {
    throw error;
  },
};

/** Makes a coordinator for a test. @publicApi */
export function createTestCoordinator<C extends Clock = ManualClock>(
  given: TestCoordinatorOptions<C> = {},
): TestCoordinator<C> {
  const {
    participants: scripted = {},
    lastResources = {},
    clock: givenClock,
    random,
    log = new MemoryDecisionLog(),
    claim: givenClaim,
    observer,
    ...rest
  } = given;
  const options = resolveCoordinatorOptions(rest);
  const clock = givenClock ?? (new ManualClock() as unknown as C);
  const participants = new ParticipantRegistry(options);
  for (const [name, participant] of Object.entries(scripted)) participants.register(participant, { name });
  for (const [name, resource] of Object.entries(lastResources)) {
    participants.register(resource, { name, lastResource: true });
  }
  const claim = givenClaim ?? log.open(options.name);
  if (claim instanceof Promise) {
    throw new TypeError('This log opens asynchronously: open it first, and pass its result as `claim`.');
  }
  const runtime = new CoordinatorRuntime({
    options,
    participants,
    clock,
    random: random ?? (() => 0.5),
    log,
    claim,
    observer: observer ?? SILENT,
  });
  clock.onAdvance?.(() => runtime.sweep());
  const recovery = new Recovery(runtime);
  recovery.restore();
  const { shared } = runtime.log;
  const membership = shared && new Membership(runtime, shared, recovery);
  membership?.start();
  membership?.takeOver();
  void runtime.capacities.start();
  return {
    transactions: new TransactionManager(runtime),
    participants,
    clock,
    recover: async () => {
      await Promise.all([recovery.pass(), recovery.findOrphans()]);
    },
    sweep: () => runtime.sweep(),
    runtime,
    membership,
  };
}

import type { Random } from './random.js';
import type { Witnesses } from './witnesses.js';

/** Every class of fault. Each has a rate of its own in each world. */
export const FAULTS = [
  'request lost',
  'answer lost',
  'message delayed',
  'message delivered after the time-out',
  'message repeated',
  'connection cut while the request travels',
  'call throws at once',
  'participant crashes',
  'participant crashes in the middle of its work',
  'participant is slow',
  'participant hangs',
  'participant refuses',
  'participant throws before its effect',
  'participant throws after its effect',
  'participant answers garbage',
  'participant ends heuristically',
  'participant is registered late',
  'guard store is slow',
  'coordinator crashes',
  'coordinator crashes in the middle of a step',
  'coordinator crashes during recovery',
  'coordinator pauses beyond its lease',
  'coordinator pauses in the middle of a step',
  'coordinator is replaced while it runs',
  'clock jumps forward',
  'caller cancels',
  'append fails before the write',
  'append fails after the write',
  'append lands after its failure',
  'append lands late',
  'write torn by a crash',
  'acknowledgement of an append lost',
  'look-up fails',
  'look-up is never answered',
  'log cannot be checked',
  'note in the log lost',
  'note in the log fails after the write',
  'log cannot be opened',
  'list of branches fails',
  'list of branches is late',
  'list of branches is stale',
  'log refuses a record',
  'log breaks',
  'log is copied',
] as const;

/** Faults that only members of a shared log meet. */
const FAULTS_OF_MEMBERS = [
  'member is cut from the log',
  'member is fenced while it lives',
  'member leaves',
  'member joins',
  'member pauses beyond the lease',
  'adopter crashes while it adopts',
  'log is down',
  'log is down beyond the lease',
  'log is restarted',
  'connection to the log is replaced',
  'request to the log lost',
  'answer of the log lost',
  'answer of the log late',
  'renewal lost',
  'renewal late',
  'message delivered after an adoption',
] as const;

/**
 * What happens to the server of the shared log in some worlds, whatever their weather. A random stream of its
 * own decides where and when.
 */
export const FAILOVERS = ['log fails over', 'log fails over and loses decisions'] as const;

export type Fault = (typeof FAULTS)[number] | (typeof FAULTS_OF_MEMBERS)[number] | (typeof FAILOVERS)[number];

/**
 * What these say of a coordinator is about a claim, a disk or a folder, which members of a shared log do not
 * have. A list of branches that an adopter has asked for is never stale: see `recover` of the participant.
 */
const FAULTS_WITHOUT_MEMBERS: ReadonlySet<Fault> = new Set([
  'coordinator pauses beyond its lease',
  'coordinator is replaced while it runs',
  'write torn by a crash',
  'list of branches is stale',
  'log refuses a record',
  'log breaks',
  'log is copied',
]);

/** Every class of fault of a world whose members share a log. */
export const MEMBER_FAULTS: readonly Fault[] = [
  ...FAULTS.filter((fault) => !FAULTS_WITHOUT_MEMBERS.has(fault)),
  ...FAULTS_OF_MEMBERS,
];

/** How much goes wrong: the share of the classes that are switched on, and the range of their rates. */
const WEATHERS = [
  { share: 0, low: 0, high: 0 },
  { share: 0.25, low: 0.005, high: 0.05 },
  { share: 0.45, low: 0.01, high: 0.15 },
  { share: 0.5, low: 0.05, high: 0.5 },
] as const;
/** Which weather a world has: one in twenty is calm. */
const FORECAST = [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3] as const;

/** These break the promise by their nature, so they are left to the few worlds that are about them. */
const RARE: ReadonlySet<Fault> = new Set(['participant ends heuristically']);
const RARE_SHARE = 0.3;
/**
 * Where a world has few occasions for a fault it strikes more often on each, and where it has many less
 * often.
 */
const RATE_FACTORS: Partial<Record<Fault, number>> = {
  'append fails before the write': 7,
  'append fails after the write': 7,
  'append lands after its failure': 9,
  'append lands late': 15,
  'acknowledgement of an append lost': 8,
  'write torn by a crash': 10,
  'log refuses a record': 5,
  'log breaks': 6,
  'look-up fails': 20,
  'look-up is never answered': 30,
  'log cannot be checked': 24,
  'note in the log lost': 6,
  'note in the log fails after the write': 10,
  'participant ends heuristically': 8,
  'participant hangs': 2,
  'participant crashes in the middle of its work': 2,
  'coordinator crashes in the middle of a step': 0.3,
  'coordinator pauses in the middle of a step': 0.1,
  'request to the log lost': 0.4,
  'answer of the log lost': 0.4,
  'answer of the log late': 0.4,
  'adopter crashes while it adopts': 4,
  'connection to the log is replaced': 4,
};
const MAX_RATE = 0.6;
/** How often at most one of these happens in a world, when its class is on. */
const MAX_TIMES = 4;

/**
 * The faults of one world. Rates that differ from world to world find more than one mixture for all: the
 * defect that needs a loss and no delay is found where delays are off.
 *
 * Source: Groce, Zhang, Eide, Chen and Regehr, "Swarm Testing", 2012.
 */
export class Faults {
  private readonly rates = new Map<Fault, number>();
  private active = true;
  readonly isCalm: boolean;

  /** @param classes which faults may happen at all. */
  constructor(
    classes: readonly Fault[],
    private readonly random: Random,
    private readonly witnesses: Witnesses,
  ) {
    const weather = WEATHERS[random.pick(FORECAST)];
    this.isCalm = weather.share === 0;
    for (const fault of classes) {
      const isOn = random.chance(RARE.has(fault) ? weather.share * RARE_SHARE : weather.share);
      const rate = random.between(weather.low, weather.high) * (RATE_FACTORS[fault] ?? 1);
      this.rates.set(fault, isOn ? Math.min(rate, MAX_RATE) : 0);
    }
  }

  /** Whether the class is on in this world, at whatever rate. */
  has(fault: Fault): boolean {
    return this.rateOf(fault) > 0;
  }

  switchOff(fault: Fault): void {
    this.rates.set(fault, 0);
  }

  /** From now on everything that goes wrong goes wrong less often. */
  soften(factor: number): void {
    for (const [fault, rate] of this.rates) this.rates.set(fault, rate * factor);
  }

  /** Whether the fault happens on this occasion; if so, it is counted. */
  strikes(fault: Fault): boolean {
    const rate = this.rateOf(fault);
    if (rate === 0 || !this.active || this.random.next() >= rate) return false;
    this.witnesses.count(fault);
    return true;
  }

  /** How often a fault happens in the life of this world, where it has no occasion of its own. */
  times(fault: Fault): number {
    return this.has(fault) ? this.random.whole(1, MAX_TIMES) : 0;
  }

  /** From now on nothing goes wrong. */
  heal(): void {
    this.active = false;
  }

  get areOver(): boolean {
    return !this.active;
  }

  private rateOf(fault: Fault): number {
    return this.rates.get(fault) ?? 0;
  }
}

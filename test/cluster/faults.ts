import { setTimeout as pause } from 'node:timers/promises';
import type { Random } from '../simulation/random.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import type { Cluster, Place } from './cluster.js';
import { PARTICIPANTS } from './messages.js';

/** A fault of one member, or of one server. */
export interface Fault {
  readonly kind: string;
  /** How often it is in the deck. */
  readonly cards: number;
  /** The target that it needs for itself: a member without another fault, or a server. */
  readonly needs: 'member' | 'log' | 'services';
  /** Whether it can be done now, besides what it needs for itself. */
  readonly isPossible?: (cluster: Cluster) => boolean;
  /** @returns a promise that resolves when it is over. */
  strike(cluster: Cluster, random: Random, place: Place): Promise<void>;
}

/** The statements whose answers are lost. */
const WRITES_OF_THE_LOG = /INSERT INTO dtc_log|UPDATE dtc_log|DELETE FROM dtc_log/;
const STEPS_OF_A_BRANCH = /PREPARE TRANSACTION|COMMIT PREPARED|ROLLBACK PREPARED/;
const LOST_ANSWERS = 3;

/** Every kind of fault. Those of the same moment may overlap, and one member is always left alone. */
export const FAULTS: readonly Fault[] = [
  {
    kind: 'kill',
    cards: 3,
    needs: 'member',
    strike: (_, random, place) => place.replace('SIGKILL', random.between(0, 2_000)),
  },
  {
    kind: 'stop',
    cards: 2,
    needs: 'member',
    strike: async ({ leaseMs }, random, place) => {
      const member = place.process!;
      member.signal('SIGSTOP');
      await pause(leaseMs * random.between(1.1, 1.5));
      member.signal('SIGCONT');
    },
  },
  {
    kind: 'clean stop',
    cards: 1,
    needs: 'member',
    strike: (_, random, place) => place.replace('SIGTERM', random.between(0, 1_000)),
  },
  {
    kind: 'cut log',
    cards: 1,
    needs: 'member',
    strike: ({ leaseMs }, random, { logProxy }) => cut([logProxy], leaseMs * random.between(0.1, 1.4)),
  },
  {
    kind: 'silent log',
    cards: 1,
    needs: 'member',
    strike: ({ leaseMs }, random, { logProxy }) => silence([logProxy], leaseMs * random.between(0.3, 1.4)),
  },
  {
    kind: 'lost answers of the log',
    cards: 1,
    needs: 'member',
    strike: (_, random, { logProxy }) => loseAnswers([logProxy], WRITES_OF_THE_LOG, random),
  },
  {
    kind: 'cut services',
    cards: 1,
    needs: 'member',
    strike: (_, random, { proxies }) =>
      cut(
        PARTICIPANTS.filter(() => random.chance(0.7)).map((name) => proxies[name]),
        random.between(100, 3_000),
      ),
  },
  {
    kind: 'lost answers of services',
    cards: 2,
    needs: 'member',
    strike: (_, random, { proxies }) => loseAnswers(Object.values(proxies), STEPS_OF_A_BRANCH, random),
  },
  {
    kind: 'restart of the log',
    cards: 1,
    needs: 'log',
    strike: async ({ log, leaseMs }, random) => {
      await log.end('fast');
      await pause(leaseMs * random.between(0, 1.2));
      await log.startAgain();
    },
  },
  {
    kind: 'crash of the log',
    cards: 1,
    needs: 'log',
    strike: async ({ log }) => {
      await log.end('kill');
      await log.startAgain();
    },
  },
  {
    kind: 'failover of the log',
    cards: 2,
    needs: 'log',
    isPossible: ({ log }) => log.hasStandby,
    strike: async (cluster) => {
      await cluster.log.failOver();
      cluster.followLog();
      await cluster.log.addStandby();
    },
  },
  {
    kind: 'ended sessions of the log',
    cards: 1,
    needs: 'log',
    strike: async ({ log }) => {
      await log.query(
        'postgres',
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'member %'",
      );
    },
  },
  {
    kind: 'crash of the services',
    cards: 1,
    needs: 'services',
    strike: async ({ services }) => {
      await services.kill();
      await services.restart();
    },
  },
];

async function cut(proxies: readonly TcpProxy[], forMs: number): Promise<void> {
  for (const proxy of proxies) proxy.cut();
  await pause(forMs);
  for (const proxy of proxies) proxy.repair();
}

/**
 * The connections stay open, and nothing arrives. Afterwards they are cut, as they are when the network is
 * back.
 */
async function silence(proxies: readonly TcpProxy[], forMs: number): Promise<void> {
  for (const proxy of proxies) proxy.rule = () => 'stall';
  await pause(forMs);
  await cut(proxies, 0);
}

/** A few times, a request takes effect, and the connection is cut before its answer has arrived. */
async function loseAnswers(proxies: readonly TcpProxy[], of: RegExp, random: Random): Promise<void> {
  let lost = 0;
  for (const proxy of proxies) {
    proxy.rule = (data, direction) => {
      if (direction === 'down' || lost >= LOST_ANSWERS || !of.test(data.toString('latin1'))) return 'pass';
      lost++;
      return random.chance(0.5) ? 'cut-answer' : 'cut';
    };
  }
  await pause(random.between(500, 1_500));
  for (const proxy of proxies) proxy.repair();
}

/**
 * Draws faults from a deck, so that each kind comes in its turn, and does them: every few seconds another
 * one.
 */
export class Schedule {
  readonly counts = new Map<string, number>();
  private deck: Fault[] = [];
  private readonly underWay = new Set<Promise<void>>();
  private readonly busy = new Set<Fault['needs']>();

  /**
   * @param note hears what is done, for the report of a failure.
   * @param only the kinds that are left in the deck; every kind when it is empty.
   */
  constructor(
    private readonly cluster: Cluster,
    private readonly random: Random,
    private readonly note: (what: string) => void,
    private readonly only: readonly string[] = [],
  ) {}

  /** Does so many faults, and waits until all are over. */
  async run(faults: number, leastGapMs: number, longestGapMs: number): Promise<void> {
    for (let number = 0; number < faults; number++) {
      // When a fault comes is a time, as no event is to decide it.
      await pause(this.random.between(leastGapMs, longestGapMs));
      await this.begin(this.draw());
    }
    await Promise.all(this.underWay);
  }

  private draw(): Fault {
    if (this.deck.length === 0) {
      const { only } = this;
      const cards = FAULTS.filter(({ kind }) => only.length === 0 || only.includes(kind));
      this.deck = cards.flatMap((fault) => Array<Fault>(fault.cards).fill(fault));
    }
    return this.deck.splice(this.random.whole(0, this.deck.length - 1), 1)[0]!;
  }

  /** Waits until it can be done, and starts it. */
  private async begin(fault: Fault): Promise<void> {
    const { cluster } = this;
    while (this.busy.has(fault.needs) || fault.isPossible?.(cluster) === false || !this.hasRoomFor(fault))
      await pause(50);
    const place = this.random.pick(this.free());
    if (fault.needs === 'member') place.trouble = fault.kind;
    else this.busy.add(fault.needs);
    const whom = fault.needs === 'member' ? ` (${place.process?.name})` : '';
    this.note(`begins: ${fault.kind}${whom}`);
    this.counts.set(fault.kind, (this.counts.get(fault.kind) ?? 0) + 1);
    const done = fault.strike(cluster, this.random, place).finally(() => {
      if (fault.needs === 'member') place.trouble = undefined;
      else this.busy.delete(fault.needs);
      this.note(`over: ${fault.kind}${whom}`);
    });
    this.underWay.add(done);
    void done.finally(() => this.underWay.delete(done)).catch(() => {});
  }

  private hasRoomFor({ needs }: Fault): boolean {
    return needs === 'member' ? this.free().length >= 2 : this.free().length >= 1;
  }

  /** The places with a member that nothing is done to. */
  private free(): Place[] {
    return this.cluster.places.filter(({ trouble, member }) => trouble === undefined && member !== undefined);
  }
}

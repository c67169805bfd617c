import type { ParticipantCapacity } from '../../participant/participant.js';
import type { ParticipantRegistry } from '../../participant/participant.registry.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import type { Clock } from '../clock.js';
import { messageOf } from '../../gate/texts.js';
import type { ServerLimit } from './server-limit.js';
import type { ServerLimits } from './server-limits.js';
import type { TimeLimits } from '../time-limits.js';
import type { Voting } from '../voting.js';

/** How long the participants may take to say what their servers can take: longer delays no start. */
const WITHIN_MS = 5_000;
/** While slots are taken that are not ours, a server is asked again: so long after it was asked first. */
const ASKED_AGAIN_MS = 5_000;
/** The time between two doubles each time, up to this. */
const LONGEST_BETWEEN_MS = 60_000;

/** What the start has to say about the servers. */
export interface CapacityReport {
  readonly level: 'log' | 'warn';
  readonly message: string;
}

/** When a server is asked again. */
interface Asking {
  readonly participant: RegisteredParticipant;
  dueAt: number;
  pauseMs: number;
  isUnderWay: boolean;
  /** Why it did not answer the last time. */
  problem: string | undefined;
}

/**
 * Asks the participants what their servers can take, and tells those who need to know.
 *
 * After a crash the branches of the run before hold slots until recovery has finished them, and others may hold some for a
 * while. So a server is asked again, by one of its participants, until all its slots are free for us.
 */
export class Capacities {
  private readonly reported = new WeakMap<ServerLimit, string>();
  private readonly askings = new Map<ServerLimit, Asking>();
  private isClosed = false;
  /** Who hears what is found out. */
  report: (report: CapacityReport) => void = () => {};

  constructor(
    private readonly participants: ParticipantRegistry,
    private readonly voting: Voting,
    private readonly limits: ServerLimits,
    private readonly maxInFlight: number,
    private readonly clock: Clock,
    private readonly timeLimits: TimeLimits,
  ) {}

  /**
   * Asks every participant that is registered, and from now on each that is registered later.
   *
   * @returns a promise that resolves when all have answered, or have had their time; it is never a rejection.
   */
  async start(): Promise<void> {
    this.participants.onRegistered = (participant) =>
      void this.read(participant).then(() => this.reportAll());
    await this.timeLimits.within(
      Promise.all(this.participants.registered().map((one) => this.read(one))),
      WITHIN_MS,
    );
    this.reportAll();
  }

  /** Asks those servers again whose time has come. */
  sweep(now: number): void {
    for (const [limit, asking] of this.askings) {
      if (this.isClosed || !limit.isShared) this.askings.delete(limit);
      else if (asking.dueAt <= now && !asking.isUnderWay) void this.askAgain(limit, asking);
    }
  }

  /** No server is asked again. */
  close(): void {
    this.isClosed = true;
  }

  /** It is never a rejection. One that does not answer is not asked once more until it has. */
  private async askAgain(limit: ServerLimit, asking: Asking): Promise<void> {
    const { participant } = asking;
    const { used } = limit;
    asking.isUnderWay = true;
    try {
      const capacity = checked(await participant.instance.capacity!());
      if (this.isClosed) return;
      // What has ended or begun since then may have been counted, or not.
      this.limits.askedAgain(limit, capacity, Math.max(used, limit.used));
      asking.problem = undefined;
      this.reportAll();
    } catch (error) {
      this.notAnswered(limit, asking, messageOf(error));
    } finally {
      asking.isUnderWay = false;
      asking.pauseMs = Math.min(2 * asking.pauseMs, LONGEST_BETWEEN_MS);
      asking.dueAt = this.clock.now() + asking.pauseMs;
    }
  }

  /** At a shutdown its pools are closed, and the same problem is not told each time. */
  private notAnswered(limit: ServerLimit, asking: Asking, problem: string): void {
    if (this.isClosed || asking.problem === problem) return;
    asking.problem = problem;
    this.say({
      level: 'warn',
      message:
        `"${asking.participant.name}" did not say again what its server can take: ${problem}. ` +
        `The server takes ${limit.most} branches at a time until it does; it is asked again.`,
    });
  }

  /** What is to be known of each server: how many transactions it takes, and whether its connections are enough. */
  private reportAll(): void {
    for (const limit of this.limits.all) {
      const { participants, most, transactions } = limit;
      const facts = `${participants.size}/${most}`;
      if (this.reported.get(limit) === facts) continue;
      this.reported.set(limit, facts);
      const names = Array.from(participants, (name) => `"${name}"`).join(', ');
      if (transactions < this.maxInFlight) {
        this.say({
          level: 'log',
          message:
            `The database server of ${names} takes ${transactions} transactions at a time with a branch at each of them ` +
            `(${most} free prepared transactions / ${participants.size} participants), and maxInFlight is ${this.maxInFlight}: ` +
            'further ones wait, and then are refused with DTC_SERVER_BUSY',
        });
      }
      if (limit.ownConnections > limit.connections) {
        this.say({
          level: 'warn',
          message:
            `The database server of ${names} gives ${limit.connections} connections, and the participants open up to ` +
            `${limit.ownConnections}: raise max_connections, or lower their numbers of connections`,
        });
      }
    }
  }

  /** Without an answer nothing is limited, as for a participant that has no such method. */
  private async read(participant: RegisteredParticipant): Promise<void> {
    const { instance, name } = participant;
    try {
      if (typeof instance.capacity !== 'function') return;
      this.take(participant, checked(await instance.capacity()));
    } catch (error) {
      this.say({
        level: 'warn',
        message:
          `"${name}" did not say what its server can take, so that no limit is known: ${messageOf(error)}. ` +
          'Too many transactions at once will be refused by the server and not at the door.',
      });
    }
  }

  private take(participant: RegisteredParticipant, capacity: ParticipantCapacity): void {
    this.voting.limit(participant, capacity.workConnections);
    const limit = this.limits.limit(participant, capacity);
    participant.server = limit;
    limit.onIdle.set(participant.name, () => participant.places?.serve());
    if (!limit.isShared || this.askings.has(limit)) return;
    const dueAt = this.clock.now() + ASKED_AGAIN_MS;
    const pauseMs = ASKED_AGAIN_MS;
    this.askings.set(limit, { participant, dueAt, pauseMs, isUnderWay: false, problem: undefined });
  }

  private say(report: CapacityReport): void {
    try {
      this.report(report);
    } catch {
      // A logger that fails neither refuses the start nor ends the process.
    }
  }
}

const FIELDS = [
  'preparedTransactions',
  'preparedTransactionsInUse',
  'connections',
  'connectionsInUse',
  'workConnections',
  'ownConnections',
] as const;

/** @throws TypeError when the answer makes no sense. */
function checked(capacity: ParticipantCapacity): ParticipantCapacity {
  const { server } = capacity;
  if (typeof server !== 'string') throw new TypeError('its capacity() names no server');
  // Each is read once, and what was checked is what is used.
  const values = FIELDS.map((field) => {
    const value: unknown = capacity[field];
    const least = field === 'workConnections' ? 1 : 0;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least) {
      throw new TypeError(`its capacity() has a ${field} that is no whole number from ${least} on`);
    }
    return [field, value] as const;
  });
  return { server, ...(Object.fromEntries(values) as Omit<ParticipantCapacity, 'server'>) };
}

import type { ParticipantCapacity } from '../../participant/participant.js';
import type { ParticipantRegistry } from '../../participant/participant.registry.js';
import type { RegisteredParticipant } from '../../participant/registered-participant.js';
import type { Clock } from '../clock.js';
import { messageOf } from '../../gate/texts.js';
import type { ServerLimit } from './server-limit.js';
import type { ServerLimits } from './server-limits.js';
import type { TimeLimits } from '../time-limits.js';
import type { Voting } from '../voting.js';

/** The time limit for the participants' answers at the start, so that they delay it no longer. */
const WITHIN_MS = 5_000;
/** The first interval for asking a server again while other clients hold slots. */
const ASKED_AGAIN_MS = 5_000;
/** The interval doubles each time, up to this limit. */
const LONGEST_BETWEEN_MS = 60_000;

/** The result of asking the servers at the start. */
export interface CapacityReport {
  readonly level: 'log' | 'warn';
  readonly message: string;
}

/** The time of the next question to a server. */
interface Asking {
  readonly participant: RegisteredParticipant;
  dueAt: number;
  pauseMs: number;
  isUnderWay: boolean;
  /** Why its last answer failed. */
  problem: string | undefined;
}

/**
 * Asks the participants for the capacity of their servers, and sets the limits.
 *
 * After a crash the branches of the previous run hold slots until recovery has finished them, and other
 * clients may hold slots for a while. So one of the server's participants is asked again until all slots are
 * free for this coordinator.
 */
export class Capacities {
  private readonly reported = new WeakMap<ServerLimit, string>();
  private readonly askings = new Map<ServerLimit, Asking>();
  private isClosed = false;
  /** Called with the result. */
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
   * Asks every registered participant, and from now on each participant when it is registered.
   *
   * @returns a promise that resolves when all have answered or their time is up. It never rejects.
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

  /** Asks the servers again whose time has come. */
  sweep(now: number): void {
    for (const [limit, asking] of this.askings) {
      if (this.isClosed || !limit.isShared) this.askings.delete(limit);
      else if (asking.dueAt <= now && !asking.isUnderWay) void this.askAgain(limit, asking);
    }
  }

  /** Asks no server again. */
  close(): void {
    this.isClosed = true;
  }

  /** Never rejects. A participant is not asked again before it has answered. */
  private async askAgain(limit: ServerLimit, asking: Asking): Promise<void> {
    const { participant } = asking;
    const { used } = limit;
    asking.isUnderWay = true;
    try {
      const capacity = checked(await participant.instance.capacity!());
      if (this.isClosed) return;
      // Branches that have ended or started since then may or may not have been counted.
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

  /** At a shutdown the pools are closed. The same problem is not reported each time. */
  private notAnswered(limit: ServerLimit, asking: Asking, problem: string): void {
    if (this.isClosed || asking.problem === problem) return;
    asking.problem = problem;
    this.say({
      level: 'warn',
      message:
        `"${asking.participant.name}" did not report the capacity of its server again: ${problem}. ` +
        `The limit stays at ${limit.most} branches at a time until it does. The coordinator asks again.`,
    });
  }

  /** Reports on each server: how many transactions it takes, and whether it has enough connections. */
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
            `(${most} free prepared transactions / ${participants.size} participants), but maxInFlight is ${this.maxInFlight}: ` +
            'further transactions wait, and are then refused with DTC_SERVER_BUSY',
        });
      }
      if (limit.lacksConnections) {
        this.say({
          level: 'warn',
          message:
            `The database server of ${names} gives ${limit.connections} connections, and the participants open up to ` +
            `${limit.ownConnections}: raise max_connections, or lower the participants' numbers of connections`,
        });
      }
    }
  }

  /** Without an answer there is no limit, as for a participant without this method. */
  private async read(participant: RegisteredParticipant): Promise<void> {
    const { instance, name } = participant;
    try {
      if (typeof instance.capacity !== 'function') return;
      this.take(participant, checked(await instance.capacity()));
    } catch (error) {
      this.say({
        level: 'warn',
        message:
          `"${name}" did not report the capacity of its server, so there is no limit: ${messageOf(error)}. ` +
          'If there are too many transactions at once, the server will refuse them late, in prepare.',
      });
    }
  }

  private take(participant: RegisteredParticipant, capacity: ParticipantCapacity): void {
    this.voting.limit(participant, capacity.workConnections);
    const limit = this.limits.limit(participant, capacity);
    participant.server = limit;
    participant.database =
      capacity.database === undefined ? undefined : `${capacity.server}/${capacity.database}`;
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
      // A logger that fails must not stop the start or end the process.
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

/** @throws TypeError when the answer is invalid. */
function checked(capacity: ParticipantCapacity): ParticipantCapacity {
  const { server, database } = capacity;
  if (typeof server !== 'string') throw new TypeError('its capacity() does not name the server');
  if (database !== undefined && typeof database !== 'string')
    throw new TypeError('its capacity() has a database that is not a text');
  // Each field is read once, so the checked value is the one that is used.
  const values = FIELDS.map((field) => {
    const value: unknown = capacity[field];
    const least = field === 'workConnections' ? 1 : 0;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least) {
      throw new TypeError(`its capacity() has a ${field} that is not a whole number from ${least}`);
    }
    return [field, value] as const;
  });
  return {
    server,
    database,
    ...(Object.fromEntries(values) as Omit<ParticipantCapacity, 'server' | 'database'>),
  };
}

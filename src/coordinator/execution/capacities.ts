import type { ParticipantCapacity } from '../participant/participant.js';
import type { ParticipantRegistry } from '../participant/participant.registry.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { FirstCalls } from './first-calls.js';
import { messageOf } from './incident.js';
import type { ServerLimit } from './server-limit.js';
import type { ServerLimits } from './server-limits.js';

/** How long the participants may take to say what their servers can take: longer delays no start. */
const WITHIN_MS = 5_000;

/** What the start has to say about the servers. */
export interface CapacityReport {
  readonly level: 'log' | 'warn';
  readonly message: string;
}

/** Asks the participants what their servers can take, and tells those who need to know. */
export class Capacities {
  private readonly reported = new WeakMap<ServerLimit, string>();
  /** Who hears what is found out. */
  report: (report: CapacityReport) => void = () => {};

  constructor(
    private readonly participants: ParticipantRegistry,
    private readonly firstCalls: FirstCalls,
    private readonly limits: ServerLimits,
    private readonly maxInFlight: number,
  ) {}

  /**
   * Asks every participant that is registered, and from now on each that is registered later.
   *
   * @returns a promise that resolves when all have answered, or have had their time; it is never a rejection.
   */
  async start(): Promise<void> {
    this.participants.onRegistered = (participant) =>
      void this.read(participant).then(() => this.reportAll());
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, WITHIN_MS);
    });
    await Promise.race([Promise.all(this.participants.list().map((one) => this.read(one))), timeUp]);
    clearTimeout(timer);
    this.reportAll();
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
        this.report({
          level: 'log',
          message:
            `The database server of ${names} takes ${transactions} transactions at a time with a branch at each of them ` +
            `(${most} free prepared transactions / ${participants.size} participants), and maxInFlight is ${this.maxInFlight}: ` +
            'further ones wait, and then are refused with DTC_SERVER_BUSY',
        });
      }
      if (limit.ownConnections > limit.connections) {
        this.report({
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
      this.report({
        level: 'warn',
        message:
          `"${name}" did not say what its server can take, so that no limit is known: ${messageOf(error)}. ` +
          'Too many transactions at once will be refused by the server and not at the door.',
      });
    }
  }

  private take(participant: RegisteredParticipant, capacity: ParticipantCapacity): void {
    this.firstCalls.limit(participant, capacity.workConnections);
    participant.server = this.limits.limit(participant, capacity);
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

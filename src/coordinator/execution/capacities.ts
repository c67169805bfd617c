import type { ParticipantCapacity } from '../participant/participant.js';
import type { ParticipantRegistry } from '../participant/participant.registry.js';
import type { RegisteredParticipant } from '../participant/registered-participant.js';
import type { FirstCalls } from './first-calls.js';
import { messageOf } from './incident.js';

/** How long the participants may take to say what their servers can take: longer delays no start. */
const WITHIN_MS = 5_000;

/** What the start has to say about the servers. */
export interface CapacityReport {
  readonly level: 'log' | 'warn';
  readonly message: string;
}

/** Asks the participants what their servers can take, and tells those who need to know. */
export class Capacities {
  /** Who hears what is found out. */
  report: (report: CapacityReport) => void = () => {};

  constructor(
    private readonly participants: ParticipantRegistry,
    private readonly firstCalls: FirstCalls,
  ) {}

  /**
   * Asks every participant that is registered, and from now on each that is registered later.
   *
   * @returns a promise that resolves when all have answered, or have had their time; it is never a rejection.
   */
  async start(): Promise<void> {
    this.participants.onRegistered = (participant) => void this.read(participant);
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, WITHIN_MS);
    });
    await Promise.race([Promise.all(this.participants.list().map((one) => this.read(one))), timeUp]);
    clearTimeout(timer);
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

  private take(participant: RegisteredParticipant, { workConnections }: ParticipantCapacity): void {
    this.firstCalls.limit(participant, workConnections);
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
  for (const field of FIELDS) {
    const value = capacity[field];
    const least = field === 'workConnections' ? 1 : 0;
    if (!Number.isSafeInteger(value) || value < least) {
      throw new TypeError(`its capacity() has a ${field} that is no whole number from ${least} on`);
    }
  }
  return capacity;
}

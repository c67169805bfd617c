import { BaseRpcContext, type Server } from '@nestjs/microservices';
import { Subject, lastValueFrom, takeUntil } from 'rxjs';
import { endAll } from '../coordinator/end-all.js';
import { SafeLogger } from '../coordinator/gate/safe-logger.js';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';
import { within } from '../coordinator/within.js';

/**
 * How long a guard, a pipe or an interceptor of the application may keep a server from its host, in
 * milliseconds.
 */
const ARRIVAL_MS = 5_000;

/** Marks the handler of a host's messages, in the extras of its pattern. */
export const HOST_HANDLER = { isOfParticipantHost: true } as const;

/** The parts of a host that a server of messages uses. */
export interface HostOfServer {
  /** @param leave ends the subscription at the broker, before the host refuses calls. */
  stopsFirst(leave: () => Promise<void>): void;
  /** Finishes the calls at work, and refuses new ones. A repeat waits for the first one. */
  stop(): Promise<void>;
}

/** A server of a broker says to its host that it is there. It is no message: nothing from outside is one. */
export class Arrival {
  private host: HostOfServer | undefined;
  private readonly meeting = Promise.withResolvers<void>();

  constructor(private readonly leave: () => Promise<void>) {}

  meet(host: HostOfServer): void {
    this.host = host;
    host.stopsFirst(this.leave);
    this.meeting.resolve();
  }

  /** Resolves when it has met its host. */
  get meets(): Promise<void> {
    return this.meeting.promise;
  }

  get met(): HostOfServer | undefined {
    return this.host;
  }
}

/**
 * Makes a server of a broker known to the host of its application. The handler of its messages is the way to
 * that host.
 */
export class HostsOfServer {
  /** One may still meet its host after it was waited for. */
  private readonly arrivals: Arrival[] = [];

  /**
   * It waits for the host of each message, at most 5 seconds.
   *
   * @param leave takes no further message, and resolves when all that have come before are served.
   */
  async find(
    server: Pick<Server, 'getHandlers' | 'transformToObservable'>,
    leave: () => Promise<void>,
  ): Promise<void> {
    for (const handler of server.getHandlers().values()) {
      if (handler.extras?.['isOfParticipantHost'] !== true) continue;
      const arrival = new Arrival(leave);
      this.arrivals.push(arrival);
      const over = new Subject<void>();
      const answered = async (): Promise<void> => {
        const answer = server.transformToObservable(await handler(arrival, new BaseRpcContext([])));
        await lastValueFrom(answer.pipe(takeUntil(over)), { defaultValue: undefined });
      };
      try {
        await within(ARRIVAL_MS, Promise.race([answered(), arrival.meets]), () => {
          throw new Error(`it has not answered within ${ARRIVAL_MS} ms`);
        });
        if (arrival.met === undefined) warn('');
      } catch (error) {
        warn(`: ${oneLine(messageOf(error))}`);
      } finally {
        over.next();
        over.complete();
      }
    }
  }

  /** A server that is closed first answers the calls at work before. */
  async stop(): Promise<void> {
    await endAll(this.arrivals.map((arrival) => () => arrival.met?.stop()));
  }
}

function warn(reason: string): void {
  new SafeLogger('ParticipantHost').warn(
    `A guard, a pipe or an interceptor keeps a server of a broker from its participant host${reason}. When the host stops, ` +
      'it takes further messages and answers them "try again". Let the messages of the host pass.',
  );
}

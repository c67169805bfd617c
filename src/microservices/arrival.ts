import { Logger } from '@nestjs/common';
import { BaseRpcContext, type Server } from '@nestjs/microservices';
import { lastValueFrom } from 'rxjs';
import { messageOf, oneLine } from '../coordinator/gate/texts.js';

/** Marks the handler of a host's messages, in the extras of its pattern. */
export const HOST_HANDLER = { isOfParticipantHost: true } as const;

/** What a server needs of the host whose messages it takes. */
export interface HostOfServer {
  /** @param leave ends the subscription at the broker, before the host refuses calls. */
  stopsFirst(leave: () => Promise<void>): void;
  /** Finishes the calls at work, and refuses new ones. A repeat waits for the first one. */
  stop(): Promise<void>;
}

/** A server of a broker says to its host that it is there. It is no message: nothing from outside is one. */
export class Arrival {
  private host: HostOfServer | undefined;

  constructor(private readonly leave: () => Promise<void>) {}

  meet(host: HostOfServer): void {
    this.host = host;
    host.stopsFirst(this.leave);
  }

  get met(): HostOfServer | undefined {
    return this.host;
  }
}

/** Makes a server of a broker known to the host of its application. The handler of its messages is the way to that host. */
export class HostsOfServer {
  private readonly hosts: HostOfServer[] = [];

  /** @param leave takes no further message, and resolves when all that have come before are served. */
  async find(
    server: Pick<Server, 'getHandlers' | 'transformToObservable'>,
    leave: () => Promise<void>,
  ): Promise<void> {
    for (const handler of server.getHandlers().values()) {
      if (handler.extras?.['isOfParticipantHost'] !== true) continue;
      const arrival = new Arrival(leave);
      try {
        const answer = server.transformToObservable(await handler(arrival, new BaseRpcContext([])));
        await lastValueFrom(answer, { defaultValue: undefined });
        if (arrival.met === undefined) warn('');
      } catch (error) {
        warn(`: ${oneLine(messageOf(error))}`);
      }
      if (arrival.met !== undefined) this.hosts.push(arrival.met);
    }
  }

  /** A server that is closed first answers the calls at work before. */
  async stop(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.stop()));
  }
}

function warn(reason: string): void {
  new Logger('ParticipantHost').warn(
    `A guard, a pipe or an interceptor keeps a server of a broker from its participant host${reason}. When the host stops, ` +
      'it takes further messages and answers them "try again". Let the messages of the host pass.',
  );
}
